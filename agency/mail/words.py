"""Text that data, models and clients wrote, made fit for one line of a mail."""

from __future__ import annotations

import unicodedata
from datetime import datetime

from django.utils import timezone
from django.utils.formats import date_format


def one_line(text: object, limit: int = 300) -> str:
    """Line breaks, control and direction characters (Unicode category C) become spaces; longer text is cut off.

    A line break in a subject would begin a new header; a direction override would show a verdict backwards.
    """
    plain = "".join(" " if unicodedata.category(char).startswith("C") else char for char in str(text))
    folded = " ".join(plain.split())
    return folded if len(folded) <= limit else folded[: limit - 1].rstrip() + "…"


def points(change: float) -> str:
    """A difference of two shares in points, with its sign: 0.031 -> "+3.1 pts"."""
    return f"{change * 100:+.1f} pts"


def moment(at: datetime) -> str:
    """In the time zone that is active, with its name."""
    local = timezone.localtime(at)
    return f"{date_format(local, 'DATE_FORMAT')}, {local:%H:%M} {local:%Z}"
