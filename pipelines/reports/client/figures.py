"""The figures of a month beside those of the month before."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, Sum
from django.utils.translation import gettext as _

from pipelines.models import DatasetVersion, ModelVersion, Rollback, Run, Traffic, TrafficSpan, Unit
from pipelines.reports.client.calendar import Month
from pipelines.rollups import begin_of
from tenants.models import Pipeline

FRESH = timedelta(days=1)
KEPT_BACK = ("stopped", "rejected")


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


def counts_of(pipeline: Pipeline, month: Month, now: datetime) -> Counts:
    requests, errors = asked_in(pipeline, month, now)
    live = ModelVersion.objects.filter(pipeline=pipeline, promoted_at__gte=month.begin, promoted_at__lt=month.end)
    runs = Run.objects.filter(pipeline=pipeline, finished_at__gte=month.begin, finished_at__lt=month.end)
    backs = Rollback.objects.filter(pipeline=pipeline, decided_at__gte=month.begin, decided_at__lt=month.end)
    learnt = DatasetVersion.objects.filter(run__model_version__in=live).aggregate(n=Sum("rows_new"))["n"] or 0
    kept_back = runs.filter(status__in=KEPT_BACK).order_by().aggregate(n=Count("pk"))["n"]
    return Counts(requests, errors, live.count(), kept_back, backs.count(), learnt)


def asked_in(pipeline: Pipeline, month: Month, now: datetime) -> tuple[int, int]:
    """(requests, errors): whole days (UTC) up to yesterday, and from there the minutes themselves."""
    first, last = month.days
    border = max(first, min(last, begin_of(Unit.DAY, now - FRESH)))
    days = TrafficSpan.objects.filter(
        pipeline=pipeline, unit=Unit.DAY, begins_at__gte=first, begins_at__lt=border
    ).aggregate(n=Sum("requests"), bad=Sum("errors"))
    minutes = Traffic.objects.filter(pipeline=pipeline, minute__gte=border, minute__lt=last)
    found = [days, minutes.aggregate(n=Sum("requests"), bad=Sum("errors"))]
    return sum(row["n"] or 0 for row in found), sum(row["bad"] or 0 for row in found)


def figures(here: Counts, before: Counts) -> tuple[Figure, ...]:
    return (
        Figure(_("answers"), here.requests, before.requests),
        Figure(_("answered without an error"), here.answered, before.answered, "share", "more"),
        Figure(_("new versions in service"), here.went_live, before.went_live),
        Figure(_("kept back by the checks"), here.kept_back, before.kept_back),
        Figure(_("taken back"), here.taken_back, before.taken_back, better="less"),
        Figure(_("new examples learnt from"), here.learnt, before.learnt),
    )
