"""A schedule's rule in plain words, so that who writes it sees what was understood."""

from __future__ import annotations

import re

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from tenants.pipeline_settings import Schedule

DAYS: dict[str, Promise] = {
    "MO": gettext_lazy("Monday"),
    "TU": gettext_lazy("Tuesday"),
    "WE": gettext_lazy("Wednesday"),
    "TH": gettext_lazy("Thursday"),
    "FR": gettext_lazy("Friday"),
    "SA": gettext_lazy("Saturday"),
    "SU": gettext_lazy("Sunday"),
}
PLACES: dict[int, Promise] = {
    1: gettext_lazy("first"),
    2: gettext_lazy("second"),
    3: gettext_lazy("third"),
    4: gettext_lazy("fourth"),
    5: gettext_lazy("fifth"),
    -1: gettext_lazy("last"),
}
EVERY: dict[str, tuple[Promise, Promise]] = {
    "DAILY": (gettext_lazy("each day"), gettext_lazy("every %(n)s days")),
    "WEEKLY": (gettext_lazy("each week"), gettext_lazy("every %(n)s weeks")),
    "MONTHLY": (gettext_lazy("each month"), gettext_lazy("every %(n)s months")),
    "YEARLY": (gettext_lazy("each year"), gettext_lazy("every %(n)s years")),
}
UNDERSTOOD = {"FREQ", "INTERVAL", "BYDAY", "BYMONTHDAY", "WKST"}


def in_words(schedule: Schedule, timezone: str) -> str:
    """ "First Tuesday of each month, 04:00, Europe/Madrid". A rule with rarer parts is shown as it is written."""
    parts = dict(part.split("=", 1) for part in schedule.rule.upper().split(";") if "=" in part)
    end = f"{schedule.at:%H:%M}, {timezone}"
    if not parts.keys() <= UNDERSTOOD or parts.get("FREQ") not in EVERY or not _can_be_said(parts):
        return f"{schedule.rule}, {end}"
    return f"{_days(parts)}, {end}"


def _can_be_said(parts: dict[str, str]) -> bool:
    """Whether the days mean with this frequency what their words would."""
    days, dates = parts.get("BYDAY", ""), parts.get("BYMONTHDAY", "")
    if not days and not dates:
        return True
    if dates:
        return parts["FREQ"] == "MONTHLY" and not days and "-" not in dates
    places = [_place(day) for day in days.split(",")]
    match parts["FREQ"]:
        case "WEEKLY":
            return all(place == 0 for place in places)
        case "MONTHLY" | "YEARLY":
            return all(place in PLACES for place in places)
    return False


def _place(day: str) -> int | None:
    """+1TU -> 1, TU -> 0; None for what is no such day."""
    found = re.fullmatch(r"([+-]?\d{1,2})?([A-Z]{2})", day)
    if found is None or found[2] not in DAYS:
        return None
    return int(found[1] or 0)


def _days(parts: dict[str, str]) -> str:
    every = _every(parts["FREQ"], int(parts.get("INTERVAL", "1")))
    named = _named(parts)
    text = (
        _("%(days)s of %(every)s") % {"days": named, "every": every} if named and parts["FREQ"] != "WEEKLY" else every
    )
    if named and parts["FREQ"] == "WEEKLY":
        text = _("%(days)s %(every)s") % {"days": named, "every": every}
    return text[:1].upper() + text[1:]


def _every(frequency: str, interval: int) -> str:
    one, many = EVERY[frequency]
    return str(one) if interval == 1 else str(many) % {"n": interval}


def _named(parts: dict[str, str]) -> str:
    if "BYMONTHDAY" in parts:
        return _("day %(n)s") % {"n": parts["BYMONTHDAY"]}
    return _(" and ").join(_day(day) for day in parts.get("BYDAY", "").split(",") if day)


def _day(text: str) -> str:
    place, day = PLACES.get(_place(text) or 0), DAYS[text[-2:]]
    return f"{place} {day}" if place else str(day)
