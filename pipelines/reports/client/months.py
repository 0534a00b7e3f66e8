"""A client's month: one part for each pipeline, and the sentences that stand above them all."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import reduce

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from pipelines.models import ModelVersion, PipelineState, Run
from pipelines.reports.client.calendar import Month, month_of
from pipelines.reports.client.changes import Change, change_of
from pipelines.reports.client.data import data_words
from pipelines.reports.client.figures import NOTHING, Counts, Figure, counts_of, figures
from pipelines.reports.client.problems import Problem, problems_in
from pipelines.reports.client.words import run_words
from pipelines.reports.schedule import anchors_of, next_scheduled
from tenants.models import Client, Pipeline

RECENT_RUNS = 10


@dataclass(frozen=True)
class RunLine:
    """A run in a client's words."""

    number: int
    at: datetime
    status: str
    version: str
    sentence: str


@dataclass(frozen=True)
class PipelineMonth:
    """One pipeline. `version` is the one in service today; `changes` are newest first, and where nothing changed, what
    is in service."""

    name: str
    slug: str
    version: ModelVersion | None
    counts: Counts
    before: Counts
    changes: tuple[Change, ...]
    problems: tuple[Problem, ...]
    runs: tuple[RunLine, ...]
    data: tuple[str, ...]
    next_at: datetime | None
    is_being_tried: bool

    @property
    def figures(self) -> tuple[Figure, ...]:
        return figures(self.counts, self.before)


@dataclass(frozen=True)
class ClientReport:
    at: datetime
    month: Month
    first_month: Month
    pipelines: tuple[PipelineMonth, ...]

    @property
    def is_running(self) -> bool:
        """Whether the month is not over yet."""
        return self.at < self.month.end

    @property
    def is_well(self) -> bool:
        """Every pipeline has a model in production: whatever a run does, production keeps answering."""
        return bool(self.pipelines) and all(p.version for p in self.pipelines)

    @property
    def counts(self) -> Counts:
        return reduce(Counts.__add__, (p.counts for p in self.pipelines), NOTHING)

    @property
    def figures(self) -> tuple[Figure, ...]:
        return figures(self.counts, reduce(Counts.__add__, (p.before for p in self.pipelines), NOTHING))

    def sentences(self) -> list[str]:
        """Is it well today, what changed, what went wrong: three sentences."""
        if not self.pipelines:
            return [_("No model has been set up for you yet.")]
        return [_serving(self), _changed(self.counts), _went_wrong(self.counts)]


def _serving(report: ClientReport) -> str:
    if report.is_well:
        return _("All your models are in service.")
    waiting = ", ".join(p.name for p in report.pipelines if not p.version)
    return _("Still without a first version: %(names)s.") % {"names": waiting}


def _changed(counts: Counts) -> str:
    if not counts.went_live:
        return _("No model was changed this month.")
    said = ngettext(
        "%(n)s new version went live, after it had passed its tests.",
        "%(n)s new versions went live, after they had passed their tests.",
        counts.went_live,
    )
    return said % {"n": counts.went_live}


def _went_wrong(counts: Counts) -> str:
    if not counts.taken_back:
        return _("Nothing had to be taken back.")
    said = ngettext(
        "%(n)s version was taken back, and the one before it restored.",
        "%(n)s versions were taken back, and the ones before them restored.",
        counts.taken_back,
    )
    return said % {"n": counts.taken_back}


def client_report(client: Client, now: datetime, month: Month | None = None) -> ClientReport:
    """All pipelines of the client in a month, by default the one that has begun."""
    rows = Pipeline.objects.filter(client=client).select_related("client", "revision")
    return _report(client, now, month, tuple(rows))


def pipeline_report(pipeline: Pipeline, now: datetime, month: Month | None = None) -> ClientReport:
    """The same about one pipeline only."""
    return _report(pipeline.client, now, month, (pipeline,))


def _report(client: Client, now: datetime, month: Month | None, rows: tuple[Pipeline, ...]) -> ClientReport:
    wanted = month or month_of(now, client.zone)
    first = month_of(client.created_at, client.zone)
    counts = counts_of(rows, wanted, now)
    parts = tuple(_pipeline(row, wanted, now, counts[row.pk]) for row in rows)
    return ClientReport(now, wanted, min(first, wanted), parts)


def _pipeline(row: Pipeline, month: Month, now: datetime, counts: tuple[Counts, Counts]) -> PipelineMonth:
    related = ("production__dataset", "production__run", "latest_run")
    state = PipelineState.objects.filter(pipeline=row).select_related(*related).first()
    here, before = counts
    production = state.production if state else None
    return PipelineMonth(
        name=row.name,
        slug=row.slug,
        version=production,
        counts=here,
        before=before,
        changes=_changes(row, month, production),
        problems=problems_in(row, month),
        runs=_runs(row, month),
        data=data_words(row, month),
        next_at=next_scheduled(row, now, anchors_of([row]).get(row.pk)),
        is_being_tried=bool(state and state.latest_run and state.latest_run.is_live),
    )


def _changes(row: Pipeline, month: Month, production: ModelVersion | None) -> tuple[Change, ...]:
    versions = ModelVersion.objects.filter(pipeline=row, promoted_at__gte=month.begin, promoted_at__lt=month.end)
    found = [change_of(version, True) for version in versions.select_related("dataset", "run").order_by("-promoted_at")]
    was_there = production is not None and production.promoted_at is not None and production.promoted_at < month.begin
    if not found and production is not None and was_there:
        found = [change_of(production, False)]
    return tuple(found)


def _runs(row: Pipeline, month: Month) -> tuple[RunLine, ...]:
    runs = Run.objects.filter(pipeline=row, created_at__gte=month.begin, created_at__lt=month.end)
    return tuple(_run(run) for run in runs.select_related("model_version")[:RECENT_RUNS])


def _run(run: Run) -> RunLine:
    version = getattr(run, "model_version", None)
    label = version.label if version else ""
    return RunLine(run.number, run.finished_at or run.created_at, run.status, label, run_words(run.status))
