"""From an address as people write it to the addresses that may be connected to."""

from __future__ import annotations

import socket
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from pipelines.outbound.errors import OutboundRefused
from pipelines.outbound.rules import may_be_allowed, refusal

Resolver = Callable[..., list[Any]]
DEFAULT_PORTS = {"http": 80, "https": 443}
# More than anybody needs; a name with hundreds of addresses would hold a worker for as many time-outs.
MOST_ADDRESSES = 4


def check_url(url: str, allow_private: bool) -> None:
    """Raises OutboundRefused for an address that may not be called, socket.gaierror for a name that does not resolve.

    For telling a person at once. What counts is the same check at each connection (pipelines.outbound.client).
    """
    name, port = parse(url)
    checked(name, port, allow_private)


def parse(url: str) -> tuple[str, int]:
    """Host and port. Raises OutboundRefused for what is no http(s) address, or carries credentials."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise OutboundRefused(f"{url} is not an address: write for example https://models.example:11434") from None
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname:
        raise OutboundRefused(f"{url} is not an address of a server: it must begin with http:// or https://")
    if "@" in parts.netloc:
        raise OutboundRefused("An address carries no user name or password: credentials have fields of their own")
    return parts.hostname, DEFAULT_PORTS[parts.scheme] if port is None else port


def checked(name: str, port: int, allow_private: bool, resolve: Resolver | None = None) -> list[str]:
    """The addresses of a name, all of them judged: one that is forbidden forbids the name, whatever stands beside it.

    A name that leads to a public and to a private address is how a resolver is turned against its asker.
    """
    found = (resolve or socket.getaddrinfo)(name, port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(row[4][0]) for row in found))
    for address in addresses:
        judge(name, address, allow_private)
    return addresses[:MOST_ADDRESSES]


def judge(name: str, address: str, allow_private: bool) -> None:
    """Raises OutboundRefused for an address that `name` may not lead to."""
    plain = ip_address(address.partition("%")[0])
    what = refusal(plain, allow_private)
    if not what:
        return
    if may_be_allowed(plain):
        advice = ". Allow private hosts in the installation's settings if it is meant"
    else:
        advice = ": such addresses are never called"
    raise OutboundRefused(f"{name} leads to {address}, which is {what}{advice}")
