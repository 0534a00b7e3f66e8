"""What was asked of a pipeline: from days and hours as far as they go, from minutes where they are still fresh."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Sum

from pipelines.domain.histogram import Histogram
from pipelines.models import ModelVersion, Traffic, TrafficSpan, Unit
from pipelines.rollups import DAY, HOUR, begin_of
from tenants.models import Pipeline

FRESH = timedelta(days=1)
WIDTH, HEIGHT = 600.0, 90.0
COUNTS = ("requests", "errors", "bad", "input_tokens", "output_tokens")


@dataclass(frozen=True)
class Window:
    """How far back the page looks, and in which steps."""

    key: str
    unit: Unit
    steps: int

    @property
    def step(self) -> timedelta:
        return HOUR if self.unit is Unit.HOUR else DAY


WINDOWS = {
    w.key: w for w in (Window("day", Unit.HOUR, 24), Window("month", Unit.DAY, 30), Window("year", Unit.DAY, 365))
}


@dataclass(frozen=True)
class ArmLine:
    """One version in one arm over the whole window. Times in ms, None where nothing was measured."""

    version: ModelVersion
    arm: str
    requests: int
    errors: int
    bad: int
    input_tokens: int
    output_tokens: int
    p50: float | None
    p95: float | None
    first_p50: float | None
    first_p95: float | None


@dataclass(frozen=True)
class Bar:
    """One hour or day of the picture; the upper part of it are errors."""

    at: datetime
    requests: int
    errors: int
    x: float
    width: float
    y: float
    height: float
    errors_height: float


@dataclass(frozen=True)
class TrafficView:
    window: Window
    lines: tuple[ArmLine, ...]
    bars: tuple[Bar, ...]
    most: int


def traffic_view(pipeline: Pipeline, window: Window, now: datetime) -> TrafficView:
    """Hours or days up to now; what was asked in the last minute may be missing."""
    begin = begin_of(window.unit, now) - window.step * (window.steps - 1)
    rows = TrafficSpan.objects.filter(pipeline=pipeline, unit=window.unit, begins_at__gte=begin)
    found = list(rows.select_related("version"))
    bars, most = _bars(found, begin, window)
    return TrafficView(window, _lines(found), bars, most)


def _lines(rows: Iterable[TrafficSpan]) -> tuple[ArmLine, ...]:
    groups: dict[tuple[int, str], list[TrafficSpan]] = defaultdict(list)
    for row in rows:
        groups[-row.version.number, row.arm].append(row)
    return tuple(_line(groups[key]) for key in sorted(groups))


def _line(rows: list[TrafficSpan]) -> ArmLine:
    latency, first = Histogram(), Histogram()
    for row in rows:
        latency, first = latency + Histogram.from_json(row.latency), first + Histogram.from_json(row.first_token)
    sums = {name: sum(getattr(row, name) for row in rows) for name in COUNTS}
    return ArmLine(
        version=rows[0].version,
        arm=rows[0].arm,
        p50=latency.quantile(0.5),
        p95=latency.quantile(0.95),
        first_p50=first.quantile(0.5),
        first_p95=first.quantile(0.95),
        **sums,
    )


def _bars(rows: Iterable[TrafficSpan], begin: datetime, window: Window) -> tuple[tuple[Bar, ...], int]:
    requests, errors = [0] * window.steps, [0] * window.steps
    for row in rows:
        step = (row.begins_at - begin) // window.step
        if step < window.steps:
            requests[step] += row.requests
            errors[step] += row.errors
    most, width = max(requests), WIDTH / window.steps
    scale = HEIGHT / most if most else 0.0
    made = (
        Bar(
            begin + n * window.step, all_, bad, n * width, width * 0.8, HEIGHT - all_ * scale, all_ * scale, bad * scale
        )
        for n, (all_, bad) in enumerate(zip(requests, errors, strict=True))
    )
    return tuple(made), most


def asked_since(pipeline: Pipeline, since: datetime, now: datetime) -> tuple[int, int]:
    """(requests, errors): whole days (UTC) up to yesterday, and from there the minutes themselves."""
    border = max(begin_of(Unit.DAY, now - FRESH), begin_of(Unit.DAY, since))
    days = TrafficSpan.objects.filter(
        pipeline=pipeline, unit=Unit.DAY, begins_at__gte=begin_of(Unit.DAY, since), begins_at__lt=border
    )
    minutes = Traffic.objects.filter(pipeline=pipeline, minute__gte=border)
    counted = [rows.aggregate(n=Sum("requests"), bad=Sum("errors")) for rows in (days, minutes)]
    return sum(row["n"] or 0 for row in counted), sum(row["bad"] or 0 for row in counted)
