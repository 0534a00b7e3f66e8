"""How windows, blackout dates and schedules are written in the settings, and what is read from them."""

from __future__ import annotations

import re
from datetime import date, time
from functools import lru_cache

from dateutil.rrule import rrulestr
from django.utils.translation import gettext as _

DAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
DAY = "|".join(DAYS)
WINDOW = re.compile(rf"((?:(?:{DAY})(?:-(?:{DAY}))?\s+)+)(\d\d:\d\d)-(\d\d:\d\d)")
WALL_TIME = re.compile(r"([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,6})?)?")
OFFSET = re.compile(r"(Z|[+-]\d\d:?\d\d)$")
BLACKOUT = re.compile(r"(\d{4}-\d\d-\d\d)(?:/(\d{4}-\d\d-\d\d))?(?:\s+(.{1,100}))?")


def read_window(text: str) -> tuple[frozenset[int], time, time]:
    """`MO-TH 09:00-16:00` or `MO WE FR 09:00-12:00`: weekdays (0 is Monday) and local times. Raises ValueError."""
    found = WINDOW.fullmatch(text.strip().upper())
    if found is None:
        raise ValueError(_("“%(text)s” is no change window. Write for example MO-TH 09:00-16:00.") % {"text": text})
    start, end = time.fromisoformat(found[2]), time.fromisoformat(found[3])
    if start >= end:
        raise ValueError(_("The window “%(text)s” ends before it begins.") % {"text": text})
    return frozenset(day for part in found[1].split() for day in _days(part)), start, end


def _days(part: str) -> list[int]:
    first, _dash, last = part.partition("-")
    begin, end = DAYS.index(first), DAYS.index(last or first)
    return [day % 7 for day in range(begin, end + 1 if end >= begin else end + 8)]


def read_blackout(text: str) -> tuple[date, date]:
    """`2026-12-20/2027-01-06 year end`: first and last day, both whole. Raises ValueError."""
    found = BLACKOUT.fullmatch(text.strip())
    if found is None:
        words = {"text": text}
        raise ValueError(_("“%(text)s” is no blackout. Write for example 2026-12-20/2027-01-06 year end.") % words)
    first, last = date.fromisoformat(found[1]), date.fromisoformat(found[2] or found[1])
    if first > last:
        raise ValueError(_("The blackout “%(text)s” ends before it begins.") % {"text": text})
    return first, last


def read_wall_time(at: object, is_stored: bool) -> object:
    """The same, but for an offset of one that is stored: it never counted.

    Raises ValueError for what is no time on a wall: a number, a time with an offset.
    """
    if is_stored and isinstance(at, str):
        at = OFFSET.sub("", at)
    is_good = at.tzinfo is None if isinstance(at, time) else isinstance(at, str) and bool(WALL_TIME.fullmatch(at))
    if is_good:
        return at
    words = {"text": at}
    raise ValueError(_("“%(text)s” is no time of day. Write for example 04:00, in the client's time zone.") % words)


@lru_cache(maxsize=1000)
def rule_fault(rule: str) -> str | None:
    """Why it cannot be read. Kept: a list of pipelines reads the same few rules again and again."""
    try:
        rrulestr(f"DTSTART:20260101T000000\nRRULE:{rule}")
    except (ValueError, TypeError, KeyError) as error:
        return str(error)
    return None
