"""What PostgreSQL tells by itself: that a route was committed. The word carries nothing, so nothing crosses tenants."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from django.db import connections

CHANNEL = "retune_routes"
FAULTS = (psycopg.Error, OSError)

Line = psycopg.Connection[tuple[object, ...]]


def is_possible() -> bool:
    return connections["default"].vendor == "postgresql"


@contextmanager
def listening() -> Iterator[Line]:
    """A connection of its own that hears the words. Raises one of `FAULTS`."""
    with psycopg.connect(**connections["default"].get_connection_params(), autocommit=True) as line:
        line.execute(f"LISTEN {CHANNEL}")
        yield line


def hears(line: Line, within_s: float) -> bool:
    """Whether a word came within that time; several at once are one. Raises one of `FAULTS` when the line broke."""
    return any(True for _ in line.notifies(timeout=within_s, stop_after=1))
