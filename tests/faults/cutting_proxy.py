"""A loopback proxy that cuts connections at random: what a flaky link does to whoever must go on."""

from __future__ import annotations

import random
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

CHUNK_BYTES = 4096


class CuttingProxy:
    """Of all connections the share `cut` dies after a random number of bytes; `cuts` counts them.

    `passed_bytes`: both ways together. `refused`: requests with these bytes get nowhere.
    """

    def __init__(self, target: int, cut: float, most_bytes: int, seed: int) -> None:
        self._target, self._cut, self._most_bytes = target, cut, most_bytes
        self._random, self._lock, self.cuts = random.Random(seed), threading.Lock(), 0
        self.refused, self.passed_bytes = b"", 0
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]

    @contextmanager
    def listening(self) -> Iterator[CuttingProxy]:
        threading.Thread(target=self._accept, daemon=True).start()
        try:
            yield self
        finally:
            self._server.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _address = self._server.accept()
                threading.Thread(target=self._pass, args=(near,), daemon=True).start()

    def _pass(self, near: socket.socket) -> None:
        with self._lock:
            left = [self._random.randrange(self._most_bytes) if self._random.random() < self._cut else 1 << 60]
        with near, suppress(OSError), socket.create_connection(("127.0.0.1", self._target)) as far:
            ways = [threading.Thread(target=self._copy, args=pair) for pair in ((near, far, left), (far, near, left))]
            for way in ways:
                way.start()
            for way in ways:
                way.join()

    def _copy(self, source: socket.socket, to: socket.socket, left: list[int]) -> None:
        with suppress(OSError):
            while chunk := source.recv(CHUNK_BYTES):
                left[0] -= len(chunk)
                if left[0] < 0 or (self.refused and self.refused in chunk):
                    self.cuts += 1
                    break
                to.sendall(chunk)
                with self._lock:
                    self.passed_bytes += len(chunk)
        for one in (source, to):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
