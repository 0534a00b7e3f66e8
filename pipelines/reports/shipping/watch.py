"""The watch after 100 %: what the version did, drawn over the band that the version before would have kept."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from math import sqrt
from typing import Any

from pipelines.domain.canary import RULES, Guardrail
from pipelines.domain.histogram import Histogram
from pipelines.domain.monitor import MonitorPlan, MonitorState, held_readings, readings
from pipelines.models import Rollout, Traffic
from pipelines.reports.shipping.rollout import GuardrailLine, guardrail_lines
from pipelines.shipping.plans import monitor_plan
from tenants.pipeline_settings import PipelineSettings

WIDTH, HEIGHT, BUCKETS = 600.0, 90.0, 24
MINUTE, WEEK, DAY_S = timedelta(minutes=1), timedelta(days=7), 86_400.0
HELD = " (beside the share that is held back)"
SURE = 1.96  # of a healthy version's points, 95 % lie in the band


@dataclass
class Counted:
    """Requests and bad ones of each guardrail, in one part of the watch."""

    requests: int = 0
    seen: dict[Guardrail, int] = field(default_factory=lambda: dict.fromkeys(Guardrail, 0))
    bad: dict[Guardrail, int] = field(default_factory=lambda: dict.fromkeys(Guardrail, 0))

    def add(self, row: Traffic, slow_limit_ms: float) -> None:
        answered = row.requests - row.errors
        slow = Histogram.from_json(row.latency).count_above(slow_limit_ms)
        self.requests += row.requests
        for name, seen, bad in (
            (Guardrail.ERROR, row.requests, row.errors),
            (Guardrail.SLOW, row.requests, slow),
            (Guardrail.BAD, answered, row.bad),
        ):
            self.seen[name] += seen
            self.bad[name] += bad

    def rate(self, name: Guardrail) -> float | None:
        return self.bad[name] / self.seen[name] if self.seen[name] else None


@dataclass(frozen=True)
class Chart:
    """In the picture's own units. `line`: the version; `band`: a polygon; `top`: the share at the upper edge."""

    words: str
    line: str
    band: str
    dots: tuple[tuple[float, float, str], ...]
    top: float
    live: float | None
    baseline: float | None


@dataclass(frozen=True)
class WatchPage:
    charts: tuple[Chart, ...]
    guardrails: tuple[GuardrailLine, ...]
    safe_threshold: float
    requests: int
    ends_at: datetime
    part_s: float
    is_same_hours: bool

    @property
    def is_slow_judged(self) -> bool:
        return any(line.words.startswith(RULES[Guardrail.SLOW].words) for line in self.guardrails)


def watch_page(rollout: Rollout, settings: PipelineSettings) -> WatchPage:
    """Needs a rollout that has reached 100 %."""
    plan, began = monitor_plan(settings.monitor), rollout.went_live_at
    part = max(plan.duration / BUCKETS, MINUTE)
    parts = max(1, min(BUCKETS, round(plan.duration / part)))
    limit = float(rollout.frozen.get("slow_limit_ms", 60_000.0))
    live = _counted(_rows(rollout.version_id, began, began + plan.duration), began, part, limit)
    before = list(_rows(rollout.previous_id, rollout.created_at - WEEK, rollout.created_at))
    deck, whole = _deck(before, began, part, limit), Counted()
    for row in before:
        whole.add(row, limit)
    stored = rollout.monitor.get("state")
    return WatchPage(
        charts=tuple(_chart(name, (live, deck, whole), parts) for name in Guardrail),
        guardrails=_guardrails(stored, plan, bool(deck)) if stored else (),
        safe_threshold=plan.safe_threshold,
        requests=sum(one.requests for one in live.values()),
        ends_at=began + plan.duration,
        part_s=part.total_seconds(),
        is_same_hours=bool(deck),
    )


def _guardrails(stored: dict[str, Any], plan: MonitorPlan, is_same_hours: bool) -> tuple[GuardrailLine, ...]:
    """Those that are judged: not how slow answers are, where there is nothing of the same hours to compare with."""
    state = MonitorState.from_json(stored)
    found = readings(state, plan)
    judged = [one for one in found if is_same_hours or one.counts.n_c or one.guardrail is not Guardrail.SLOW]
    held = [one for one in held_readings(state, plan) if one.counts.n_b]
    beside = guardrail_lines(held, plan.safe_threshold)
    return guardrail_lines(judged, plan.safe_threshold) + tuple(replace(one, words=one.words + HELD) for one in beside)


def _rows(version_id: int | None, start: datetime, end: datetime) -> Iterable[Traffic]:
    if version_id is None:
        return []
    wanted = ("minute", "requests", "errors", "bad", "latency")
    return (
        Traffic.objects.filter(version_id=version_id, minute__gte=start - MINUTE, minute__lt=end)
        .only(*wanted)
        .order_by("minute")
    )


def _counted(rows: Iterable[Traffic], began: datetime, part: timedelta, limit: float) -> dict[int, Counted]:
    found: dict[int, Counted] = defaultdict(Counted)
    for row in rows:
        found[max(0, (row.minute - began) // part)].add(row, limit)
    return found


def _deck(rows: list[Traffic], began: datetime, part: timedelta, limit: float) -> dict[int, Counted]:
    """The week before by the hour of the day at which each part of the watch falls; nothing of a younger pipeline."""
    found: dict[int, Counted] = defaultdict(Counted)
    if not rows or rows[0].minute > rows[-1].minute - WEEK + timedelta(days=1):
        return {}
    for row in rows:
        found[int((row.minute - began).total_seconds() % DAY_S // part.total_seconds())].add(row, limit)
    return found


def _chart(name: Guardrail, counts: tuple[dict[int, Counted], dict[int, Counted], Counted], parts: int) -> Chart:
    live, deck, whole = counts
    step = WIDTH / parts
    points: list[tuple[float, float]] = []
    bounds: list[tuple[float, float, float]] = []
    for number in range(parts):
        x, ours = step * (number + 0.5), live.get(number)
        rate = ours.rate(name) if ours else None
        base = deck[number].rate(name) if number in deck else whole.rate(name)
        if rate is not None:
            points.append((x, rate))
        if base is not None and ours and ours.seen[name]:
            spread = SURE * sqrt(base * (1 - base) / ours.seen[name])
            bounds.append((x, max(0.0, base - spread), min(1.0, base + spread)))
    top = max([0.02, *(rate for _x, rate in points), *(high for _x, _low, high in bounds)])
    outline = [(x, high) for x, _low, high in bounds] + [(x, low) for x, low, _high in reversed(bounds)]
    both = Counted()
    for one in live.values():
        both.seen[name] += one.seen[name]
        both.bad[name] += one.bad[name]
    dots = tuple((x, _y(rate, top), f"{100 * rate:.1f} %") for x, rate in points)
    line, band = (_path(found, top) for found in (points, outline))
    return Chart(RULES[name].words, line, band, dots, top, both.rate(name), whole.rate(name))


def _y(rate: float, top: float) -> float:
    return HEIGHT - 4 - (HEIGHT - 8) * rate / top


def _path(points: Iterable[tuple[float, float]], top: float) -> str:
    return " ".join(f"{x:.1f},{_y(rate, top):.1f}" for x, rate in points)
