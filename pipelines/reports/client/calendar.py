"""The month of a report, in its client's time zone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from functools import total_ordering
from zoneinfo import ZoneInfo

MONTH = re.compile(r"(20\d\d)-(0[1-9]|1[0-2])")


@total_ordering
@dataclass(frozen=True)
class Month:
    """A calendar month; `begin` is its first instant, `end` the first that is no more in it."""

    year: int
    number: int
    zone: ZoneInfo

    def __str__(self) -> str:
        return f"{self.year}-{self.number:02}"

    def __lt__(self, other: Month) -> bool:
        return (self.year, self.number) < (other.year, other.number)

    @property
    def first_day(self) -> date:
        return date(self.year, self.number, 1)

    @property
    def begin(self) -> datetime:
        return datetime.combine(self.first_day, time(), self.zone)

    @property
    def end(self) -> datetime:
        return self.next.begin

    @property
    def days(self) -> tuple[datetime, datetime]:
        """First day and the day after the last, as the days (UTC) by which traffic is kept."""
        first, last = (datetime.combine(day, time(), UTC) for day in (self.first_day, self.next.first_day))
        return first, last

    @property
    def previous(self) -> Month:
        year, number = (self.year - 1, 12) if self.number == 1 else (self.year, self.number - 1)
        return Month(year, number, self.zone)

    @property
    def next(self) -> Month:
        year, number = (self.year + 1, 1) if self.number == 12 else (self.year, self.number + 1)
        return Month(year, number, self.zone)

    def holds(self, at: datetime | None) -> bool:
        return at is not None and self.begin <= at < self.end


def month_of(at: datetime, zone: ZoneInfo) -> Month:
    local = at.astimezone(zone)
    return Month(local.year, local.month, zone)


def read_month(text: str, now: datetime, zone: ZoneInfo) -> Month:
    """`2026-10`. The month of `now` for an empty text, and for what is no month that has begun."""
    today, found = month_of(now, zone), MONTH.fullmatch(text.strip())
    if found is None:
        return today
    return min(Month(int(found[1]), int(found[2]), zone), today)
