"""The outbound rule: only http and https, and private addresses only where the installation says so."""

import ipaddress
import socket
from urllib.parse import urlsplit

from pipelines.hosts.errors import HostDown, HostRefused


def check_url(url: str, allow_private: bool) -> None:
    """Raises HostRefused for a forbidden address, HostDown for a name that does not resolve.

    The check reads the addresses the name has now; hosts are opened anew for each piece of work, so a name that is
    later pointed elsewhere is seen at the next one.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise HostRefused(f"{url} is not an address of a host: it must begin with http:// or https://")
    if parts.username or parts.password:
        raise HostRefused("A host's address carries no user name or password: put credentials into its headers")
    if allow_private:
        return
    for address in _addresses(parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)):
        if not address.is_global:
            raise HostRefused(
                f"{parts.hostname} leads to {address}, which is not a public address. "
                "Allow private hosts in the installation's settings if it is meant"
            )


def _addresses(name: str, port: int) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    try:
        found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    except OSError as fault:
        raise HostDown(f"The name {name} does not resolve ({fault.strerror}): check the host's address") from fault
    return [_unmapped(ipaddress.ip_address(str(row[4][0]).partition("%")[0])) for row in found]


def _unmapped(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    return getattr(address, "ipv4_mapped", None) or address
