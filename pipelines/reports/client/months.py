"""A client's month: one part for each pipeline, and the sentences that stand above them all."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import reduce

from django.db.models import Window
from django.db.models.functions import RowNumber
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from pipelines.models import ModelVersion, PipelineState, Run
from pipelines.reports.client.calendar import Month, month_of
from pipelines.reports.client.changes import Change, changes_in
from pipelines.reports.client.data import data_words
from pipelines.reports.client.figures import NOTHING, Counts, Figure, counts_of, figures, grouped
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
    """One pipeline. `version` is the one in service today; `changes` are newest first, with what was in service at the
    month's end."""

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
    if not counts.went_live and counts.taken_back:
        return _("No new version went live this month.")
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
    return ClientReport(now, wanted, min(first, wanted), _parts(client, rows, wanted, now))


def _parts(client: Client, rows: tuple[Pipeline, ...], month: Month, now: datetime) -> tuple[PipelineMonth, ...]:
    """One for each pipeline, with as many queries for ten of them as for one."""
    related = ("production", "latest_run")
    states = {one.pipeline_id: one for one in PipelineState.objects.filter(pipeline__in=rows).select_related(*related)}
    in_service = {pk: state.production for pk, state in states.items() if state.production}
    counts, changes = counts_of(rows, month, now), changes_in(rows, month)
    problems, runs, data = problems_in(rows, month), _runs(rows, month), data_words(client, rows, month)
    set_at = anchors_of(rows)

    def part(row: Pipeline) -> PipelineMonth:
        state, (here, before) = states.get(row.pk), counts[row.pk]
        return PipelineMonth(
            name=row.name,
            slug=row.slug,
            version=in_service.get(row.pk),
            counts=here,
            before=before,
            changes=changes[row.pk],
            problems=problems[row.pk],
            runs=runs[row.pk],
            data=data[row.pk],
            next_at=next_scheduled(row, now, set_at.get(row.pk)),
            is_being_tried=bool(state and state.latest_run and state.latest_run.is_live),
        )

    return tuple(part(row) for row in rows)


def _runs(rows: tuple[Pipeline, ...], month: Month) -> dict[int, tuple[RunLine, ...]]:
    """The newest of each pipeline."""
    place = Window(RowNumber(), partition_by="pipeline", order_by="-number")
    runs = Run.objects.filter(pipeline__in=rows, created_at__gte=month.begin, created_at__lt=month.end)
    newest = runs.annotate(place=place).filter(place__lte=RECENT_RUNS).select_related("model_version")
    return grouped(rows, newest, _run)


def _run(run: Run) -> RunLine:
    version = getattr(run, "model_version", None)
    label = version.label if version else ""
    return RunLine(run.number, run.finished_at or run.created_at, run.status, label, run_words(run.status))
