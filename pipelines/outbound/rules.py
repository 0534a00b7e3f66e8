"""Which addresses may be called: judgement over one address, no look-up (IANA special-purpose registries, RFC 6890)."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


def _named(text: str, *networks: str) -> tuple[tuple[Network, str], ...]:
    return tuple((ip_network(network), text) for network in networks)


# First: they lie inside ranges that an operator may allow, and one of them inside a public one.
METADATA = _named(
    "a metadata service of a cloud",
    "169.254.169.254/32",
    "169.254.170.2/32",
    "fd00:ec2::/32",
    "fd20:ce::254/128",
    "100.100.100.200/32",
    "168.63.129.16/32",
    "192.0.0.192/32",
)
NEVER = (
    *METADATA,
    *_named("link-local", "169.254.0.0/16", "fe80::/10", "fec0::/10"),
    *_named("multicast", "224.0.0.0/4", "ff00::/8"),
    *_named("unspecified", "0.0.0.0/8", "::/128"),
    # An IPv4 address in another coat: whoever wants that one can write it.
    *_named("an IPv4 address inside an IPv6 one", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48"),
    *_named("an IPv4 address inside an IPv6 one", "2001::/32", "2002::/16"),
    *_named("reserved", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24"),
    *_named("reserved", "203.0.113.0/24", "240.0.0.0/4", "100::/64", "2001:db8::/32", "3fff::/20", "5f00::/16"),
)
PRIVATE: tuple[Network, ...] = tuple(
    ip_network(text)
    for text in ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "::1/128", "fc00::/7")
)
COMPATIBLE = ip_network("::/96")
ISATAP = (b"\x00\x00\x5e\xfe", b"\x02\x00\x5e\xfe")  # RFC 5214: the interface part carries an IPv4 address


def refusal(address: Address, allow_private: bool) -> str:
    """What the address is that may not be called; empty for one that may."""
    for network, what in NEVER:
        if address in network:
            return what
    if any(address in network for network in PRIVATE):
        return "" if allow_private else "not a public address"
    if isinstance(address, IPv6Address) and (address in COMPATIBLE or address.packed[8:12] in ISATAP):
        return "an IPv4 address inside an IPv6 one"
    return "" if address.is_global else "not a public address"


def may_be_allowed(address: Address) -> bool:
    """Whether the installation's operator can allow it at all."""
    return not refusal(address, allow_private=True)
