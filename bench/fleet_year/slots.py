"""Schedules of a small fleet that is played for a whole year, and when each is due by the calendar alone."""

from __future__ import annotations

import calendar
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

# With a 29th of February and every change of the clocks in between.
BEGIN = datetime(2027, 9, 1, 12, 0, tzinfo=UTC)
END = datetime(2028, 9, 1, 0, 0, tzinfo=UTC)


def _length(day: date) -> int:
    return calendar.monthrange(day.year, day.month)[1]


# (rule, time of the day): whether a day is one of its. 02:30 is skipped by one change of the clocks and occurs twice
# at the other, on the last Sundays of March and October in Europe and the second and first ones elsewhere. Intervals
# count from March 2026, when these pipelines were made.
SCHEDULES: dict[tuple[str, str], Callable[[date], bool]] = {
    ("FREQ=MONTHLY;BYDAY=+1TU", "04:00"): lambda day: day.weekday() == 1 and day.day <= 7,
    ("FREQ=MONTHLY;BYDAY=-1SU", "02:30"): lambda day: day.weekday() == 6 and day.day > _length(day) - 7,
    ("FREQ=MONTHLY;BYMONTHDAY=31", "00:15"): lambda day: day.day == 31,
    ("FREQ=MONTHLY;INTERVAL=2;BYMONTHDAY=-1", "23:45"): lambda day: day.month % 2 == 1 and day.day == _length(day),
    ("FREQ=MONTHLY;INTERVAL=3;BYDAY=+1TU", "04:00"): lambda day: (
        day.month % 3 == 0 and day.weekday() == 1 and day.day <= 7
    ),
    ("FREQ=YEARLY;BYMONTH=3,6,9,11;BYDAY=+2SU", "02:30"): lambda day: (
        day.month in (3, 6, 9, 11) and day.weekday() == 6 and 8 <= day.day <= 14
    ),
    ("FREQ=MONTHLY;INTERVAL=6;BYMONTHDAY=15", "12:00"): lambda day: day.month % 6 == 3 and day.day == 15,
    ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29", "04:00"): lambda day: (day.month, day.day) == (2, 29),
}


def slots(rule: str, at: str, zone: str) -> set[datetime]:
    """UTC. A time that does not exist has the offset from before the change; one that occurs twice is the first."""
    days = (BEGIN.date() + timedelta(days=n - 1) for n in range((END - BEGIN).days + 3))
    found = (_moment(day, at, zone) for day in days if SCHEDULES[rule, at](day))
    return {moment for moment in found if BEGIN < moment < END - timedelta(hours=1)}


def _moment(day: date, at: str, zone: str) -> datetime:
    return datetime.combine(day, time.fromisoformat(at), ZoneInfo(zone)).astimezone(UTC)
