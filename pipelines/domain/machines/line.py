"""When a waiting job is expected to begin and to end, by its place in the line and by how fast the line moves."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True)
class Pace:
    """Of one queue: jobs that are worked on, jobs that ended lately, and how long those took on the average."""

    running: int
    ended: int
    mean: timedelta


@dataclass(frozen=True)
class Expected:
    """`before` jobs are served first; None: its turn comes only when another job of its client ends.

    Times are None where nothing is known to count with: no job ended yet, or nobody is at work.
    """

    before: int | None
    starts_at: datetime | None = None
    ends_at: datetime | None = None


def expected(place: int | None, pace: Pace, now: datetime) -> Expected:
    """`place` counts from 1. While a line lasts, one job begins in every mean / running; the next on half of that."""
    if place is None:
        return Expected(None)
    if pace.ended == 0 or pace.running == 0:
        return Expected(place - 1)
    starts_at = now + pace.mean * ((place - 0.5) / pace.running)
    return Expected(place - 1, starts_at, starts_at + pace.mean)
