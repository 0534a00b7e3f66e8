"""The figures of a month beside those of the month before."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeVar

from django.db.models import Aggregate, Count, Model, Q, Sum
from django.utils.translation import gettext as _

from pipelines.models import ModelVersion, Rollback, Run, Traffic, TrafficSpan, Unit
from pipelines.reports.client.calendar import Month
from pipelines.rollups import begin_of
from tenants.models import Pipeline

FRESH = timedelta(days=1)
KEPT_BACK = ("stopped", "rejected")
Line = TypeVar("Line")
Row = TypeVar("Row", bound="OfPipeline")
Grouped = dict[tuple[int, bool], tuple[Any, ...]]


class OfPipeline(Protocol):
    pipeline_id: int


@dataclass(frozen=True)
class Figure:
    """`kind`: count or share. `better`: which way is good, more or less; empty where neither is."""

    name: str
    value: float | None
    before: float | None
    kind: str = "count"
    better: str = ""

    @property
    def change(self) -> float | None:
        return None if self.value is None or self.before is None else self.value - self.before

    @property
    def tone(self) -> str:
        if not self.better or not self.change:
            return "idle"
        return "good" if (self.change > 0) == (self.better == "more") else "bad"


@dataclass(frozen=True)
class Counts:
    """What is counted of one month."""

    requests: int
    errors: int
    went_live: int
    kept_back: int
    taken_back: int
    learnt: int

    @property
    def answered(self) -> float | None:
        return 1 - self.errors / self.requests if self.requests else None

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(a + b for a, b in zip(vars(self).values(), vars(other).values(), strict=True)))


NOTHING = Counts(0, 0, 0, 0, 0, 0)


def counts_of(pipelines: Sequence[Pipeline], month: Month, now: datetime) -> dict[int, tuple[Counts, Counts]]:
    """{pipeline: (the month, the month before)} in six queries at most, however many pipelines."""
    ids = [row.pk for row in pipelines]
    span = (month.previous.begin, month.begin, month.end)
    asked = _asked(ids, month, now)
    built = _of(ModelVersion, ids).exclude(card__has_key="adopted")  # It answered before, and passed no test.
    live = _grouped(built, "promoted_at", span, Count("pk"), Sum("run__dataset__rows_new"))
    kept_back = _grouped(_of(Run, ids).filter(status__in=KEPT_BACK), "finished_at", span, Count("pk"))
    backs = _grouped(_of(Rollback, ids), "flipped_at", span, Count("pk"))

    def counts(key: tuple[int, bool]) -> Counts:
        (requests, errors), (went_live, learnt) = asked[key], live.get(key, (0, 0))
        return Counts(requests, errors, went_live, kept_back.get(key, (0,))[0], backs.get(key, (0,))[0], learnt)

    return {pk: (counts((pk, True)), counts((pk, False))) for pk in ids}


def grouped(
    pipelines: Sequence[Pipeline], rows: Iterable[Row], line: Callable[[Row], Line]
) -> dict[int, tuple[Line, ...]]:
    """{pipeline: a line for each of its rows, in their order}; those without any are there too."""
    found: dict[int, list[Line]] = {pipeline.pk: [] for pipeline in pipelines}
    for row in rows:
        found[row.pipeline_id].append(line(row))
    return {pk: tuple(lines) for pk, lines in found.items()}


def _of(model: type[Model], ids: Sequence[int]) -> Any:
    return model._default_manager.filter(pipeline__in=ids)


def _grouped(rows: Any, at: str, span: tuple[datetime, datetime, datetime], *sums: Aggregate) -> Grouped:
    """{(pipeline, whether it is of the later part): its sums}. `span`: from, border, to."""
    begin, border, end = span
    found = rows.filter(**{f"{at}__gte": begin, f"{at}__lt": end}).annotate(is_later=Q(**{f"{at}__gte": border}))
    groups = found.order_by().values_list("pipeline_id", "is_later").annotate(*sums)
    return {(pipeline, bool(later)): tuple(value or 0 for value in values) for pipeline, later, *values in groups}


def _asked(ids: Sequence[int], month: Month, now: datetime) -> Mapping[tuple[int, bool], tuple[int, int]]:
    """(requests, errors): whole days (UTC) up to yesterday, and from there the minutes themselves."""
    begin, (first, last) = month.previous.days[0], month.days
    border = begin_of(Unit.DAY, now - FRESH)
    sums = Sum("requests"), Sum("errors")
    days = _of(TrafficSpan, ids).filter(unit=Unit.DAY, begins_at__lt=border)
    parts = [_grouped(days, "begins_at", (begin, first, last), *sums)]
    if border < last:
        minutes = _of(Traffic, ids).filter(minute__gte=border)
        parts.append(_grouped(minutes, "minute", (begin, first, last), *sums))
    found: dict[tuple[int, bool], tuple[int, int]] = defaultdict(lambda: (0, 0))
    for part in parts:
        for key, (requests, errors) in part.items():
            found[key] = (found[key][0] + requests, found[key][1] + errors)
    return found


def figures(here: Counts, before: Counts) -> tuple[Figure, ...]:
    return (
        Figure(_("answers"), here.requests, before.requests),
        Figure(_("answered without an error"), here.answered, before.answered, "share", "more"),
        Figure(_("new versions in service"), here.went_live, before.went_live),
        Figure(_("kept back by the checks"), here.kept_back, before.kept_back),
        Figure(_("taken back"), here.taken_back, before.taken_back, better="less"),
        Figure(_("new examples learnt from"), here.learnt, before.learnt),
    )
