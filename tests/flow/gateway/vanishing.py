"""A way to PostgreSQL on which the server can vanish as a machine does that lost its power: without one more packet."""

from __future__ import annotations

import ctypes
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tests.installation import Installation

SO_ATTACH_FILTER = 26
# One instruction of the classic packet filter: return 0 bytes, so the kernel drops what comes and acknowledges nothing.
DROP_ALL = struct.pack("HBBI", 0x06, 0, 0, 0)


@dataclass
class Relay:
    """`inner`: its end of each connection that somebody made to it."""

    url: str
    inner: list[socket.socket] = field(default_factory=list)

    def vanish(self) -> None:
        """For every connection that there is. New ones get through."""
        code = ctypes.create_string_buffer(DROP_ALL)
        program = struct.pack("HL", 1, ctypes.addressof(code))
        for one in self.inner:
            with suppress(OSError):  # It was closed before.
                one.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)


@contextmanager
def relay(installation: Installation) -> Iterator[Relay]:
    parts = urlsplit(installation.app_url)
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    made = Relay(parts._replace(netloc=parts.netloc.rpartition(":")[0] + f":{port}").geturl())

    def accept() -> None:
        with suppress(OSError):
            while True:
                ours, _ = listening.accept()
                made.inner.append(ours)
                theirs = socket.create_connection((parts.hostname or "", parts.port or 0))
                for ends in ((ours, theirs), (theirs, ours)):
                    threading.Thread(target=pass_on, args=ends, daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield made
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()


def pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while found := source.recv(1 << 16):
            target.sendall(found)
    for one in (source, target):
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
