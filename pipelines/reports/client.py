"""What a client's own people read: is it well, what serves them, what changed and why it is safe, what was taken back.

Nothing of hosts, keys or staff is in these values, so no page made of them can show it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Sum
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from pipelines.models import GateResult, ModelVersion, PipelineState, Rollback, Run, Scorecard, Traffic
from pipelines.reports.schedule import next_scheduled
from pipelines.reports.scorecards import MetricLine, metric_lines
from tenants.models import Client, Pipeline

WINDOW = timedelta(days=30)
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
class RollbackLine:
    at: datetime
    sentence: str
    from_label: str
    to_label: str
    seconds: float | None


@dataclass(frozen=True)
class PipelineReport:
    """One pipeline for its client. `gates` are those of the version in production."""

    name: str
    version: str
    since: datetime | None
    trained_on: int
    metrics: tuple[MetricLine, ...]
    gates: tuple[GateResult, ...]
    runs: tuple[RunLine, ...]
    rollbacks: tuple[RollbackLine, ...]
    next_at: datetime | None
    requests: int
    errors: int
    is_being_tried: bool

    @property
    def error_share(self) -> float | None:
        return self.errors / self.requests if self.requests else None


@dataclass(frozen=True)
class ClientReport:
    at: datetime
    since: datetime
    pipelines: tuple[PipelineReport, ...]

    @property
    def is_well(self) -> bool:
        """Every pipeline has a model in production: whatever a run does, production keeps answering."""
        return bool(self.pipelines) and all(p.version for p in self.pipelines)

    @property
    def promoted(self) -> int:
        return sum(run.status == "succeeded" for p in self.pipelines for run in p.runs if run.at >= self.since)

    @property
    def taken_back(self) -> int:
        return sum(line.at >= self.since for p in self.pipelines for line in p.rollbacks)

    @property
    def requests(self) -> int:
        return sum(p.requests for p in self.pipelines)

    def sentences(self) -> list[str]:
        """How it is today, in up to three sentences."""
        if not self.pipelines:
            return [_("No model has been set up for you yet.")]
        said = [_serving(self)]
        said.append(
            ngettext(
                "%(n)s new version went live in the last 30 days.",
                "%(n)s new versions went live in the last 30 days.",
                self.promoted,
            )
            % {"n": self.promoted}
        )
        if self.taken_back:
            said.append(
                ngettext(
                    "%(n)s version was taken back, and the one before it restored.",
                    "%(n)s versions were taken back, and the ones before them restored.",
                    self.taken_back,
                )
                % {"n": self.taken_back}
            )
        return said


def _serving(report: ClientReport) -> str:
    if report.is_well:
        return _("All your models are in service.")
    waiting = ", ".join(p.name for p in report.pipelines if not p.version)
    return _("Still without a first version: %(names)s.") % {"names": waiting}


def client_report(client: Client, now: datetime) -> ClientReport:
    pipelines = Pipeline.objects.filter(client=client).select_related("client", "revision")
    return ClientReport(now, now - WINDOW, tuple(_pipeline(row, now) for row in pipelines))


def _pipeline(row: Pipeline, now: datetime) -> PipelineReport:
    state = PipelineState.objects.filter(pipeline=row).select_related("production__dataset", "latest_run").first()
    production = state.production if state else None
    label, since = (production.label, production.promoted_at) if production else ("", None)
    counted = Traffic.objects.filter(pipeline=row, minute__gte=now - WINDOW).aggregate(
        n=Sum("requests"), bad=Sum("errors")
    )
    return PipelineReport(
        name=row.name,
        version=label,
        since=since,
        trained_on=production.dataset.rows_total if production and production.dataset else 0,
        metrics=metric_lines(Scorecard.objects.filter(version=production).first()) if production else (),
        gates=tuple(GateResult.objects.filter(run_id=production.run_id)) if production else (),
        runs=tuple(_run(run) for run in Run.objects.filter(pipeline=row).select_related("model_version")[:RECENT_RUNS]),
        rollbacks=_rollbacks(row),
        next_at=next_scheduled(row, now),
        requests=counted["n"] or 0,
        errors=counted["bad"] or 0,
        is_being_tried=bool(state and state.latest_run and state.latest_run.is_live),
    )


def _run(run: Run) -> RunLine:
    version = getattr(run, "model_version", None)
    return RunLine(run.number, run.finished_at or run.created_at, run.status, _label(version), run_words(run.status))


def _label(version: ModelVersion | None) -> str:
    return version.label if version else ""


def run_words(status: str) -> str:
    """What a status means to a client. The reasons that staff read may name people and hosts, so they stay inside."""
    words = {
        "succeeded": _("It passed every check and is in service."),
        "skipped": _("There was too little new data; nothing changed."),
        "stopped": _("The new data did not pass its checks; nothing changed."),
        "rejected": _("It was not shown to be as good as what you have; nothing changed."),
        "rolled_back": _("It fell behind in use and was taken back; the version before it is in service."),
        "failed": _("It could not be finished; nothing changed."),
        "cancelled": _("It was called off; nothing changed."),
        "held": _("Your agency is looking at it."),
    }
    return words.get(status, _("It is under way."))


def _rollbacks(row: Pipeline) -> tuple[RollbackLine, ...]:
    found = Rollback.objects.filter(pipeline=row).select_related("from_version", "to_version")[:RECENT_RUNS]
    return tuple(
        RollbackLine(r.decided_at, _why(r), r.from_version.label, _label(r.to_version), r.seconds) for r in found
    )


def _why(rollback: Rollback) -> str:
    """The machine's own sentence; a person's words stay inside."""
    return _("Taken back by your agency.") if rollback.phase == "person" else rollback.sentence
