"""The same door for asyncio: a socket factory for aiohttp, asked with the address that is about to be connected to."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from functools import partial
from typing import Any

from pipelines.outbound.errors import OutboundRefused
from pipelines.outbound.names import judge

AddressInfo = tuple[int | socket.AddressFamily, int | socket.SocketKind, int, str, tuple[Any, ...]]
SocketFactory = Callable[[AddressInfo], socket.socket]


def judged_sockets(allow_private: bool) -> SocketFactory:
    """For `aiohttp.TCPConnector(socket_factory=...)`: literal addresses pass here too, which no resolver sees.

    The socket is made for the address that was judged, after the name was looked up. A forbidden one is an OSError,
    as with any address that cannot be reached: aiohttp goes on to the next.
    """
    return partial(_socket_for, allow_private)


def _socket_for(allow_private: bool, info: AddressInfo) -> socket.socket:
    family, kind, protocol, _name, address = info
    try:
        judge("The name", str(address[0]), allow_private)
    except OutboundRefused as refused:
        raise PermissionError(errno.EACCES, str(refused)) from refused
    made = socket.socket(family, kind, protocol)
    made.setblocking(False)
    return made
