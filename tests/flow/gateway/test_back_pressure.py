"""A caller that reads slowly holds its host up: the gateway stores no answer for it."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from agency.gateway.limits import Limits
from pipelines.models import Exchange
from tests import factories
from tests.flow.gateway.conftest import CHAT, Door, Ground, Open
from tests.flow.gateway.double import WORDS as SHORT
from tests.flow.gateway.double import wait_for

WORD = "x" * 50_000
WORDS = 1_000  # 50 MB in all: more than the buffers of two sockets and a server hold.


def resident_mb() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


@contextmanager
def asking(door: Door) -> Iterator[socket.socket]:
    """A caller that has asked and does not read yet."""
    place = urlsplit(door.url)
    with socket.create_connection((place.hostname, place.port)) as caller:
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
        body = json.dumps(CHAT).encode()
        head = f"POST /api/chat HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {door.key}\r\nConnection: close\r\n"
        caller.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        yield caller


def test_a_caller_that_does_not_read_stops_the_host_and_gets_all_of_it_later(door: Door, ground: Ground) -> None:
    written: list[int] = []

    class Words(tuple):
        """Notes how far the host has come."""

        def __iter__(self):
            for number, word in enumerate(super().__iter__()):
                written.append(number)
                yield word

    ground.double.answer = Words([WORD] * WORDS)
    before = resident_mb()
    with asking(door) as caller:
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


def test_a_caller_that_never_reads_gives_its_place_to_the_next_one(open_door: Open, ground: Ground) -> None:
    door = open_door(limits=Limits(total_s=1, host_concurrency=1))
    door.chat()
    ground.double.answer = (WORD,) * WORDS
    with asking(door):
        wait_for(lambda: len(ground.double.asked) == 2)
        ground.double.answer = SHORT
        began = time.monotonic()
        assert door.chat().json()["message"]["content"] == "billing"
        assert time.monotonic() - began < 5
        [pool] = door.gateway.upstream.pools.values()
        assert pool.running == 0
    with factories.inside(ground.client):
        wait_for(lambda: Exchange.objects.count() == 3)
        assert Exchange.objects.filter(is_error=True).count() == 0
