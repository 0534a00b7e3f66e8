"""Change windows and blackout dates: when a rollout may begin or take its next step. Rollbacks never ask."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

DAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
LOOK_AHEAD = timedelta(days=400)


@dataclass(frozen=True)
class Window:
    """Weekdays (0 is Monday), and from `start` to before `end`, local wall-clock time."""

    days: frozenset[int]
    start: time
    end: time
    text: str

    def holds(self, local: datetime) -> bool:
        return local.weekday() in self.days and self.start <= local.time() < self.end


@dataclass(frozen=True)
class Blackout:
    """From the first to the last day, both whole."""

    first: date
    last: date
    text: str

    def holds(self, day: date) -> bool:
        return self.first <= day <= self.last


@dataclass(frozen=True)
class Closed:
    """Why a rollout waits, in words that stay the same while it does; `opens_at` None: not within a year."""

    reason: str
    opens_at: datetime | None


def closed(windows: Sequence[Window], blackouts: Sequence[Blackout], local: datetime) -> Closed | None:
    """None where a rollout may move now. `local` is aware, in the client's time zone. No window means: at any hour."""
    hit = next((blackout for blackout in blackouts if blackout.holds(local.date())), None)
    if hit is not None:
        return Closed(f"blackout {hit.text}", _opens_at(windows, blackouts, local))
    if windows and not any(window.holds(local) for window in windows):
        told = "; ".join(window.text for window in windows)
        return Closed(f"outside the change windows ({told}, {local.tzinfo})", _opens_at(windows, blackouts, local))
    return None


def _opens_at(windows: Sequence[Window], blackouts: Sequence[Blackout], local: datetime) -> datetime | None:
    return next((at for at in _openings(windows, blackouts, local) if at > local), None)


def _openings(windows: Sequence[Window], blackouts: Sequence[Blackout], local: datetime) -> Iterator[datetime]:
    for offset in range(LOOK_AHEAD.days):
        day = local.date() + timedelta(days=offset)
        if any(blackout.holds(day) for blackout in blackouts):
            continue
        starts = sorted(w.start for w in windows if day.weekday() in w.days) if windows else [time.min]
        yield from (datetime.combine(day, start, local.tzinfo) for start in starts)
