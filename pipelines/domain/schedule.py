"""When a schedule is due: RFC 5545 rules in a client's time zone, right across daylight-saving changes."""

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from dateutil.rrule import rrule, rrulestr

_MOST_TRIED = 100_000
_FIXED_STEPS = frozenset({"DAILY", "HOURLY", "MINUTELY"})
_HORIZON = {"YEARLY": 4400, "MONTHLY": 4400, "WEEKLY": 4400, "DAILY": 4400, "HOURLY": 800, "MINUTELY": 400}  # days


class BadSchedule(ValueError):
    """A rule or time zone that cannot be used; the message says what to change."""

    permanent = True


def _zone(time_zone: str) -> ZoneInfo:
    try:
        return ZoneInfo(time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise BadSchedule(f"{time_zone!r} is not a time zone, such as Europe/Madrid") from error


def _parts(rule: str) -> dict[str, str]:
    """The rule's parts in capitals; raises BadSchedule for what is not one recurrence rule."""
    text = rule.strip().upper().removeprefix("RRULE:")
    parts = dict(part.split("=", 1) for part in text.split(";") if "=" in part)
    if parts.get("FREQ") not in _HORIZON or "\n" in text:
        raise BadSchedule("the schedule must be one rule such as FREQ=MONTHLY;BYDAY=+1TU;BYHOUR=4, minutely at most")
    if "COUNT" in parts:
        raise BadSchedule("the schedule cannot have a COUNT: give its last day as UNTIL")
    return parts


def _parse(parts: dict[str, str], start: datetime, after: datetime) -> rrule:
    # A rule that never matches (30 February) would search until the year 9999, so the search ends somewhere.
    horizon = (after + timedelta(days=_HORIZON[parts["FREQ"]])).strftime("%Y%m%dT%H%M%S")
    # A UTC end (...Z) beside local times is refused by the parser: it is taken as local.
    until = parts.get("UNTIL", horizon).removesuffix("Z")
    # A day is the last one, and not its midnight.
    until = min(until if "T" in until else f"{until}T235959", horizon)
    text = ";".join(f"{name}={value}" for name, value in {**parts, "UNTIL": until}.items())
    try:
        parsed = rrulestr(text, dtstart=start)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadSchedule(f"the schedule {text} cannot be read: {error}") from error
    if not isinstance(parsed, rrule):
        raise BadSchedule("the schedule must be one single rule")
    return parsed


def _start(parts: dict[str, str], anchor: datetime, local_after: datetime) -> datetime:
    """Where counting starts: the anchor's midnight, or near `local_after` where that makes no difference.

    A rule of every minute that was set a year ago would otherwise walk half a million steps.
    """
    is_movable = parts["FREQ"] in _FIXED_STEPS and parts.get("INTERVAL", "1") == "1"
    near = local_after - timedelta(days=2)
    return max(anchor, near).replace(hour=0, minute=0, second=0, microsecond=0) if is_movable else anchor


def occurrences(rule: str, time_zone: str, after: datetime, anchor: datetime) -> Iterator[datetime]:
    """Due times (UTC, rising) strictly after `after`; intervals count from the day of `anchor`, when it was set.

    A local time that a change to summer time skips is due with the offset from before it (RFC 5545, 3.3.5); one that
    occurs twice is due the first time.
    """
    zone, parts = _zone(time_zone), _parts(rule)
    set_at = anchor.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    local_after = after.astimezone(zone).replace(tzinfo=None) - timedelta(hours=3)  # more than any change of offset
    parsed = _parse(parts, _start(parts, set_at, local_after), local_after)
    last = after.astimezone(UTC)
    for local in parsed.xafter(local_after):
        due = local.replace(tzinfo=zone).astimezone(UTC)
        if due > last:
            last = due
            yield due


def next_occurrences(
    rule: str, time_zone: str, after: datetime, count: int, anchor: datetime | None = None
) -> list[datetime]:
    """The next `count` due times (UTC) after `after`, for pages."""
    return list(islice(occurrences(rule, time_zone, after, anchor or after), count))


def missed(rule: str, time_zone: str, handled_until: datetime, now: datetime, anchor: datetime) -> list[datetime]:
    """Due times in (handled_until, now]; they collapse into one run, that of the last."""
    found = []
    for due in islice(occurrences(rule, time_zone, handled_until, anchor), _MOST_TRIED):
        if due > now:
            break
        found.append(due)
    return found


def spread_of(pipeline_id: int, window_s: int) -> timedelta:
    """How long after its due time a pipeline starts: always the same, in [0, window_s), even over all pipelines."""
    drawn = int.from_bytes(hashlib.sha256(f"start of {pipeline_id}".encode()).digest()[:8], "big")
    return timedelta(seconds=drawn % window_s if window_s > 0 else 0)


def check_schedule(rule: str, time_zone: str, now: datetime) -> None:
    """Raise `BadSchedule` unless the rule can be read and is due at least once more."""
    if not next_occurrences(rule, time_zone, now, 1):
        raise BadSchedule(f"the schedule {rule!r} is never due again")
