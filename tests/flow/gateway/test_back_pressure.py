"""A caller that reads slowly holds its host up: the gateway stores no answer for it."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path
from urllib.parse import urlsplit

from tests.flow.gateway.conftest import CHAT, Door, Ground
from tests.flow.gateway.double import wait_for

WORD = "x" * 50_000
WORDS = 1_000  # 50 MB in all: more than the buffers of two sockets and a server hold.


def resident_mb() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


def test_a_caller_that_does_not_read_stops_the_host_and_gets_all_of_it_later(door: Door, ground: Ground) -> None:
    written: list[int] = []

    class Words(tuple):
        """Notes how far the host has come."""

        def __iter__(self):
            for number, word in enumerate(super().__iter__()):
                written.append(number)
                yield word

    ground.double.answer = Words([WORD] * WORDS)
    before, place = resident_mb(), urlsplit(door.url)
    with socket.create_connection((place.hostname, place.port)) as caller:
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
        body = json.dumps(CHAT).encode()
        head = f"POST /api/chat HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {door.key}\r\nConnection: close\r\n"
        caller.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        wait_for(lambda: written)

        def stands_still() -> bool:
            seen = len(written)
            time.sleep(0.5)
            return len(written) == seen

        wait_for(stands_still, within_s=20)
        held_at = len(written)
        assert held_at < WORDS / 2 and resident_mb() - before < 30
        received = 0
        while chunk := caller.recv(1 << 20):
            received += len(chunk)
    assert len(written) == WORDS and received > WORDS * len(WORD)
