"""Several processes that do one fleet's work on one database, while its clock stands.

What is to be done for one client in one go is done by one process, so its order is kept; the clock, the ticker and the
line of the queues stay with whoever plays.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain, count
from multiprocessing.connection import Connection
from typing import Any

from django.db import connections

from pipelines.models import Job
from tests.fleet import Fleet


class ManyHanded(Fleet):
    """Inside `tests.fleet.played` and `hands`."""

    pipes: tuple[Connection, ...] = ()

    def _serve(self) -> None:
        while self.calls:
            calls = list(self.calls)
            self.calls.clear()
            for looks, advances in self._handed("_served", calls, lambda call: call[1]):
                self.looks += looks
                self.advances += advances

    def _settle(self, over: list[Job]) -> list[Job]:
        return list(chain(*self._handed("_settle", over, lambda job: job.client_id)))

    def _claim(self, line: list[tuple[int, int]]) -> list[Job]:
        return list(chain(*self._handed("_claim", line, lambda row: row[0])))

    def _served(self, calls: list[tuple[str, int, int]]) -> tuple[int, int]:
        self.calls.extend(calls)
        self.looks = self.advances = 0
        Fleet._serve(self)
        return self.looks, self.advances

    def _handed(self, what: str, rows: list[Any], client_of: Callable[[Any], int]) -> list[Any]:
        """What each hand says of its share of the rows."""
        shares = [share for share in _shares(rows, client_of, len(self.pipes)) if share]
        tick, pipes = next(self.ticks), self.pipes[: len(shares)]
        for pipe, share in zip(pipes, shares, strict=True):
            pipe.send((self.now, tick, what, share))
        said = [pipe.recv() for pipe in pipes]
        self.ticks = count(max([tick, *(until for until, _answer in said)]))
        return [answer for _until, answer in said]


def _shares(rows: list[Any], client_of: Callable[[Any], int], number: int) -> list[list[Any]]:
    """All rows of one client in one share, and as much in each as that leaves."""
    by_client: dict[int, list[Any]] = {}
    for row in rows:
        by_client.setdefault(client_of(row), []).append(row)
    shares: list[list[Any]] = [[] for _ in range(number)]
    for found in sorted(by_client.values(), key=len, reverse=True):
        min(shares, key=len).extend(found)
    return shares


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


def _hand(fleet: ManyHanded, pipe: Any) -> None:
    own: dict[str, Callable[[Any], Any]] = {
        "_served": fleet._served,
        "_settle": lambda over: Fleet._settle(fleet, over),
        "_claim": lambda line: Fleet._claim(fleet, line),
    }
    while (said := pipe.recv()) is not None:
        fleet.now, tick, what, share = said
        fleet.ticks = count(tick)
        answer = own[what](share)
        pipe.send((next(fleet.ticks), answer))
