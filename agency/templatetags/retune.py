"""Filters and tags that every page uses: statuses, times, figures, icons."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from functools import lru_cache
from typing import Any

from django import template
from django.templatetags.static import static
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import get_language, gettext

from agency.portal.words import JOBS, STATUSES, WAITS, WORDS

register = template.Library()
# As JSON keeps it: with its offset, so that nothing has to be guessed.
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,6})?)?(\+\d\d:\d\d|Z)")


@register.simple_tag
def icon(name: str) -> SafeString:
    return format_html('<svg class="icon" aria-hidden="true"><use href="{}#{}"/></svg>', static("icons.svg"), name)


@register.simple_tag
def status(value: str) -> SafeString:
    """Icon, word and colour of a status, verdict or decision."""
    return _status(str(value), get_language())


@lru_cache(maxsize=1000)
def _status(value: str, language: str | None) -> SafeString:
    """Kept: a long list draws hundreds of a few."""
    symbol, tone, word = STATUSES.get(value, ("dot", "idle", value))
    return format_html('<span class="st st-{}">{}{}</span>', tone, icon(symbol), word)


@register.simple_tag
def state_icon(value: str) -> str:
    """The favicon of a status, by its tone."""
    return static(f"favicon-{tone(value)}.svg")


@register.filter
def tone(value: str) -> str:
    return STATUSES.get(str(value), ("", "idle", ""))[1]


@register.filter
def word(value: str) -> str:
    """The product's word for a code; the code itself where there is none."""
    known = WORDS.get(str(value))
    if known is not None:
        return str(known)
    return str(STATUSES[str(value)][2]) if str(value) in STATUSES else str(value).replace("_", " ")


@register.filter
def doing(reason: str) -> str:
    """Why a run stands where it does: what its job does in place of the job's name."""
    kind = reason.removeprefix("job ").partition(":")[0] if reason.startswith("job ") else ""
    return str(JOBS.get(kind) or WAITS.get(reason, reason))


@register.filter
def when(at: datetime | None) -> SafeString | str:
    """A relative time with the exact one on hover; exact where scripts do not run."""
    if at is None:
        return "–"
    local = timezone.localtime(at)
    day, zone = _day(local.date(), get_language(), "j M Y"), local.tzname()
    exact, short = f"{day}, {local:%H:%M:%S} {zone}", f"{day}, {local:%H:%M} {zone}"
    return format_html('<time datetime="{}" title="{}" data-relative>{}</time>', at.isoformat(), exact, short)


@lru_cache(maxsize=4000)
def _day(on: date, language: str | None, form: str) -> str:
    """In the language that is active. Kept: Django's formatting of one date costs more than the rest of its cell."""
    return date_format(on, form)


@register.filter
def exact(at: datetime | None) -> SafeString | str:
    if at is None:
        return "–"
    local = timezone.localtime(at)
    said = f"{_day(local.date(), get_language(), 'D j M Y')}, {local:%H:%M} {local.tzname()}"
    return format_html('<time datetime="{}">{}</time>', at.isoformat(), said)


@register.filter
def exact_in(at: datetime | None, zone: str) -> SafeString | str:
    """The exact time in a named zone."""
    with timezone.override(zone):
        return exact(at)


@register.filter
def at(values: Mapping[Any, Any], key: Any) -> Any:
    """The value at a key that only the template knows."""
    return values.get(key)


@register.filter
def duration(seconds: float | None) -> str:
    """Seconds as people say them: 4.2 s, 3 min 5 s, 2 h 10 min, 3 d 4 h."""
    if seconds is None:
        return "–"
    if seconds < 60:
        return gettext("%(s)s s") % {
            "s": f"{seconds:.1f}".rstrip("0").rstrip(".") if seconds < 10 else f"{seconds:.0f}"
        }
    for big, big_word, small, small_word in ((86_400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if seconds >= big:
            whole, rest = divmod(int(seconds), big)
            tail = f" {rest // small} {small_word}" if rest // small else ""
            return f"{whole} {big_word}{tail}"
    raise AssertionError(seconds)


@register.filter
def figure(value: Any) -> str:
    """A number as tables show it, and a stored moment as a person reads it; other text unchanged."""
    match value:
        case str() if MOMENT.fullmatch(value):
            at = timezone.localtime(datetime.fromisoformat(value))
            return f"{_day(at.date(), get_language(), 'j M Y')}, {at:%H:%M} {at.tzname()}"
        case bool():
            return gettext("yes") if value else gettext("no")
        case float():
            return f"{value:,.3f}".rstrip("0").rstrip(".") if abs(value) < 1000 else f"{value:,.0f}"
        case int():
            return f"{value:,}"
        case None | "":
            return "–"
        case list() | tuple():
            return ", ".join(figure(v) for v in value) or "–"
        case Mapping():
            return ", ".join(f"{word(k)} {figure(v)}" for k, v in value.items()) or "–"
    return str(value)


@register.filter
def signed(value: float | None) -> str:
    """A difference, with its sign."""
    return "–" if value is None else f"{'+' if value > 0 else ''}{figure(value)}"


@register.filter
def percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.4g} %"


@register.filter
def share(value: float | None) -> str:
    """A probability as people say it: 45 %, 3.2 %, below 0.1 %."""
    if value is None:
        return "–"
    if 0 < value < 0.001:
        return gettext("below 0.1 %")
    return f"{100 * value:.0f} %" if value >= 0.1 else f"{100 * value:.1f} %".replace(".0 %", " %")


@register.simple_tag
def harm(value: float | None, unit: str) -> str:
    """The smallest harm that a gate tells, in its own unit."""
    if value is None:
        return gettext("none")
    if value == 0:
        return gettext("any")
    words = {"points": gettext("%(n)s points"), "share of cases": gettext("%(n)s %% of its cases")}
    return words.get(unit, gettext("%(n)s %% slower")) % {"n": f"{100 * value:.1f}".removesuffix(".0")}


@register.filter
def evidence(numbers: Mapping[str, Any]) -> str:
    """What a task gate's verdict rests on: the difference with its bounds, and what so many cases could find."""
    low, high, least = (numbers.get(key) for key in ("drop_low", "drop_high", "mde"))
    said = []
    if low is not None and high is not None:
        bounds = [f"{100 * value:+.1f}" for value in (-numbers["drop"], -high, -low)]
        words = dict(zip(("found", "low", "high"), bounds, strict=True))
        text = gettext("Difference %(found)s points, between %(low)s and %(high)s (each bound 95 %% sure).")
        said.append(text % words)
    if least is not None:
        words = {"n": f"{numbers['n']:,}", "points": f"{100 * least:.1f}"}
        said.append(gettext("%(n)s cases find a drop of %(points)s points in 80 %% of runs.") % words)
    return " ".join(said)


@register.filter
def short(digest: str) -> SafeString | str:
    """The first twelve characters of a digest, the whole on hover."""
    bare = str(digest or "").removeprefix("sha256:")
    return format_html('<code title="{}">{}</code>', digest, bare[:12]) if bare else "–"


@register.simple_tag
def trend(values: list[float]) -> str:
    """The points of a small line in a 100 x 30 box; one value draws a level line."""
    shown = values if len(values) > 1 else values * 2
    low, high = min(shown), max(shown)
    spread = high - low
    pairs = (
        (100 * i / (len(shown) - 1), 27 - 24 * (v - low) / spread if spread else 15.0) for i, v in enumerate(shown)
    )
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in pairs)


@register.simple_tag
def options(pairs: Iterable[tuple[str, object]], chosen: str = "") -> SafeString:
    """Options of a select out of (value, word): a loop in a template takes ten times as long over 500 clients."""
    drawn = ((value, mark_safe(" selected") if value == chosen else "", word) for value, word in pairs)
    return format_html_join("", '<option value="{}"{}>{}</option>', drawn)


@register.simple_tag(takes_context=True)
def query(context: Mapping[str, Any], **changes: Any) -> str:
    """The page's own query string with `changes`; None takes a key away. Keeps all state of a list in its address."""
    params = context["request"].GET.copy()
    for key, value in changes.items():
        params.pop(key, None)
        if value is not None:
            params[key] = str(value)
    return f"?{params.urlencode()}"
