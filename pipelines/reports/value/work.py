"""Counts, hours saved and compute of a month, by client."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal

from django.db.models import Count, DurationField, ExpressionWrapper, F, QuerySet, Sum

from pipelines.models import Job, ModelVersion, Rollback, Run, StageRun, TrafficSpan, Unit
from pipelines.reports.client.calendar import Month
from pipelines.usage import COMPUTE
from tenants.models import Client, ValueTerms

BLOCKED = ("stopped", "rejected")


@dataclass
class Work:
    """Of one client, or of many together.

    `steps`: finished stages and automatic rollbacks by name; `compute_s`: seconds of jobs by train, evaluate and ship.
    """

    runs: int = 0
    promoted: int = 0
    blocked: int = 0
    rolled_back: int = 0
    answers: int = 0
    steps: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    compute_s: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def hours_saved(self, terms: ValueTerms) -> float:
        """Sum over the steps that ran without a person of (times x the agency's own minutes for the step) / 60."""
        return sum(times * terms.minutes_of(step) for step, times in self.steps.items()) / 60

    @property
    def compute_hours(self) -> float:
        return sum(self.compute_s.values()) / 3600

    def cost(self, terms: ValueTerms) -> Decimal:
        """What its compute costs by the agency's prices for an hour of each kind."""
        priced = (
            Decimal(str(seconds)) / 3600 * Decimal(terms.prices.get(f"{kind}_hour", "0"))
            for kind, seconds in self.compute_s.items()
        )
        return sum(priced, Decimal()).quantize(Decimal("0.01"))

    @classmethod
    def together(cls, parts: Iterable[Work]) -> Work:
        made = cls()
        for part in parts:
            for name in COUNTS:
                setattr(made, name, getattr(made, name) + getattr(part, name))
            for step, times in part.steps.items():
                made.steps[step] += times
            for kind, seconds in part.compute_s.items():
                made.compute_s[kind] += seconds
        return made


COUNTS = ("runs", "promoted", "blocked", "rolled_back", "answers")
UNMANNED = ("validate", "finetune", "evaluate", "compare", "deploy", "monitor")


def work_by_client(month: Month) -> dict[int, Work]:
    """Of every client inside the scope that did anything: seven queries, whatever their number."""
    found: dict[int, Work] = defaultdict(Work)
    _count(found, _within(Run.objects.all(), "finished_at", month), "runs")
    _count(found, _within(Run.objects.filter(status__in=BLOCKED), "finished_at", month), "blocked")
    _count(found, _within(ModelVersion.objects.exclude(card__has_key="adopted"), "promoted_at", month), "promoted")
    _count(found, _within(Rollback.objects.all(), "flipped_at", month), "rolled_back")
    _answers(found, month)
    _steps(found, month)
    _compute(found, month)
    return found


def work_of(client: Client, month: Month) -> Work:
    """Inside the client's scope."""
    return Work.together(w for pk, w in work_by_client(month).items() if pk == client.pk)


def _within(rows: QuerySet, name: str, month: Month) -> QuerySet:
    return rows.filter(**{f"{name}__gte": month.begin, f"{name}__lt": month.end})


def _count(found: dict[int, Work], rows: QuerySet, name: str) -> None:
    for client, times in rows.order_by().values_list("client").annotate(n=Count("pk")):
        setattr(found[client], name, times)


def _answers(found: dict[int, Work], month: Month) -> None:
    """By whole days (UTC), as traffic is kept for months."""
    first, last = month.days
    rows = TrafficSpan.objects.filter(unit=Unit.DAY, begins_at__gte=first, begins_at__lt=last)
    for client, times in rows.order_by().values_list("client").annotate(n=Sum("requests")):
        found[client].answers = times or 0


def _steps(found: dict[int, Work], month: Month) -> None:
    rows = _within(StageRun.objects.filter(status="done", stage__in=UNMANNED), "finished_at", month)
    for client, stage, times in rows.order_by().values_list("client", "stage").annotate(n=Count("pk")):
        found[client].steps[stage] += times
    machine = _within(Rollback.objects.exclude(phase="person"), "flipped_at", month)
    for client, times in machine.order_by().values_list("client").annotate(n=Count("pk")):
        found[client].steps["rollback"] += times


def _compute(found: dict[int, Work], month: Month) -> None:
    took = ExpressionWrapper(F("finished_at") - F("started_at"), output_field=DurationField())
    rows = _within(Job.objects.filter(started_at__isnull=False), "finished_at", month)
    for client, kind, time in rows.order_by().values_list("client", "kind").annotate(s=Sum(took)):
        found[client].compute_s[COMPUTE.get(kind.partition(":")[0], "ship")] += time.total_seconds()


Figures = dict[str, Callable[[Work, ValueTerms], float]]
FIGURES: Figures = {
    "runs": lambda work, _terms: work.runs,
    "promoted": lambda work, _terms: work.promoted,
    "blocked": lambda work, _terms: work.blocked,
    "rolled_back": lambda work, _terms: work.rolled_back,
    "hours_saved": lambda work, terms: work.hours_saved(terms),
    "compute_hours": lambda work, _terms: work.compute_hours,
    "cost": lambda work, terms: float(work.cost(terms)),
}
