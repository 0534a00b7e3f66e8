"""Several processes that serve one fleet's wake-ups on one database, while its clock stands.

What is sent for one client goes to one process, so its order is kept; the clock, the ticker and the line of the queues
stay with whoever plays.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from multiprocessing.connection import Connection
from typing import Any

from django.db import connections

from tests.fleet import Fleet


class ManyHanded(Fleet):
    """Inside `tests.fleet.played` and `hands`."""

    pipes: tuple[Connection, ...] = ()

    def _serve(self) -> None:
        while self.calls:
            shares: list[list[tuple[str, int, int]]] = [[] for _ in self.pipes]
            for call in self.calls:
                shares[call[1] % len(shares)].append(call)
            self.calls.clear()
            tick = next(self.ticks)
            for pipe, share in zip(self.pipes, shares, strict=True):
                pipe.send((self.now, tick, share))
            said = [pipe.recv() for pipe in self.pipes]
            self.ticks = count(max(tick for tick, _looks, _advances in said))
            self.looks += sum(looks for _tick, looks, _advances in said)
            self.advances += sum(advances for _tick, _looks, advances in said)


@contextmanager
def hands(fleet: ManyHanded, number: int) -> Iterator[None]:
    """Forks them; they end with this process."""
    connections.close_all()  # What is open would be shared.
    context = multiprocessing.get_context("fork")
    pairs = [context.Pipe() for _ in range(number)]
    found = [context.Process(target=_hand, args=(fleet, theirs), daemon=True) for _ours, theirs in pairs]
    for process in found:
        process.start()
    fleet.pipes = tuple(ours for ours, _theirs in pairs)
    try:
        yield
    finally:
        for pipe in fleet.pipes:
            pipe.send(None)
        for process in found:
            process.join(10)


def _hand(fleet: Fleet, pipe: Any) -> None:
    while (said := pipe.recv()) is not None:
        fleet.now, tick, share = said
        fleet.ticks, fleet.looks, fleet.advances = count(tick), 0, 0
        fleet.calls.extend(share)
        Fleet._serve(fleet)
        pipe.send((next(fleet.ticks), fleet.looks, fleet.advances))
