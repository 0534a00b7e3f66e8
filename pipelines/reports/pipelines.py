"""One pipeline as its page shows it: production, runs, versions, data, evaluation sets, and why nothing started."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count

from pipelines.domain.machines.line import Expected
from pipelines.models import (
    Batch,
    Drill,
    Example,
    ExampleState,
    ModelVersion,
    PipelineState,
    Rollback,
    Run,
    Scorecard,
    TriggerDecision,
)
from pipelines.reports.foresight.waiting import waiting
from pipelines.reports.schedule import anchors_of, next_times, spread
from tenants.models import EvalSet, Pipeline

RECENT = 8


@dataclass(frozen=True)
class VersionLine:
    version: ModelVersion
    metrics: dict[str, float]

    @property
    def headline(self) -> tuple[str, float] | None:
        """The first metric with its figure."""
        return next(iter(self.metrics.items()), None)


@dataclass(frozen=True)
class Trend:
    """One metric over the versions that were promoted, oldest first."""

    metric: str
    values: list[float]
    labels: list[str]

    @property
    def last(self) -> float:
        return self.values[-1]

    @property
    def last_label(self) -> str:
        return self.labels[-1]


@dataclass(frozen=True)
class DataCounts:
    by_state: dict[str, int]
    new: int

    @property
    def total(self) -> int:
        return sum(self.by_state.values())

    @property
    def quarantined(self) -> int:
        return self.by_state.get(ExampleState.QUARANTINED, 0)


@dataclass(frozen=True)
class PipelinePage:
    pipeline: Pipeline
    state: PipelineState | None
    live_run: Run | None
    runs: tuple[Run, ...]
    versions: tuple[VersionLine, ...]
    trends: tuple[Trend, ...]
    ledger: tuple[TriggerDecision, ...]
    next_times: tuple[datetime, ...]
    data: DataCounts
    batches: tuple[Batch, ...]
    eval_sets: tuple[EvalSet, ...]
    drill: Drill | None
    waits: Expected | None = None
    spread: timedelta = timedelta(0)
    taken_back_at: datetime | None = None
    going_back: Rollback | None = None

    @property
    def since(self) -> datetime | None:
        """Since when production answers: a version that traffic went back to, since then."""
        promoted = self.production.promoted_at if self.production else None
        return max(filter(None, (promoted, self.taken_back_at)), default=None)

    @property
    def production(self) -> ModelVersion | None:
        return self.state.production if self.state else None


def pipeline_page(pipeline: Pipeline, now: datetime) -> PipelinePage:
    """Inside the client's scope; the number of queries does not depend on how much there is."""
    state = PipelineState.objects.filter(pipeline=pipeline).select_related("production", "latest_run").first()
    runs = tuple(Run.objects.filter(pipeline=pipeline)[:RECENT])
    live = next((run for run in runs if run.is_live), None)
    lines = version_lines(pipeline)
    schedule = pipeline.settings.triggers.schedule if pipeline.revision else None
    return PipelinePage(
        pipeline=pipeline,
        state=state,
        live_run=live,
        runs=runs,
        versions=lines[:RECENT],
        trends=trends(lines),
        ledger=tuple(TriggerDecision.objects.filter(pipeline=pipeline).select_related("run")[:RECENT]),
        next_times=tuple(
            next_times(schedule, pipeline.client.timezone, now, set_at=anchors_of([pipeline]).get(pipeline.pk))
        ),
        data=data_counts(pipeline),
        batches=tuple(Batch.objects.filter(pipeline=pipeline)[:RECENT]),
        taken_back_at=_taken_back_at(pipeline, state),
        going_back=_going_back(pipeline, state),
        eval_sets=current_sets(pipeline),
        drill=Drill.objects.filter(pipeline=pipeline).select_related("to_version").first(),
        waits=waiting([live.pk], now).get(live.pk) if live else None,
        spread=spread(pipeline),
    )


def _taken_back_at(pipeline: Pipeline, state: PipelineState | None) -> datetime | None:
    """When the last rollback moved the traffic to what is in production now."""
    rows = Rollback.objects.filter(pipeline=pipeline, flipped_at__isnull=False)
    rows = rows.filter(to_version=state.production_id if state else None)
    return rows.order_by("-id").values_list("flipped_at", flat=True).first()


def _going_back(pipeline: Pipeline, state: PipelineState | None) -> Rollback | None:
    """The last rollback while it has not come through, or was given up; none that a promotion came after."""
    promoted_at = state.production.promoted_at if state and state.production else None
    related = ("from_version", "to_version")
    last = Rollback.objects.filter(pipeline=pipeline).select_related(*related).order_by("-id").first()
    if last is None or (promoted_at is not None and promoted_at > last.decided_at):
        return None
    is_open = last.untold if last.flipped_at else last.standing != "overtaken"
    return last if is_open else None


def version_lines(pipeline: Pipeline) -> tuple[VersionLine, ...]:
    """Newest first, each with the figures of its own scorecard."""
    cards = {card.version_id: card for card in Scorecard.objects.filter(version__pipeline=pipeline)}
    versions = ModelVersion.objects.filter(pipeline=pipeline).select_related("run")
    return tuple(VersionLine(version, _figures(cards.get(version.pk))) for version in versions)


def _figures(card: Scorecard | None) -> dict[str, float]:
    if card is None:
        return {}
    found = {name: value.get("candidate") for name, value in card.metrics.items()}
    return {name: float(value) for name, value in found.items() if isinstance(value, int | float)}


def trends(lines: tuple[VersionLine, ...]) -> tuple[Trend, ...]:
    promoted = [line for line in reversed(lines) if line.version.promoted_at is not None]
    names = list(dict.fromkeys(name for line in promoted for name in line.metrics))
    return tuple(_trend(name, [line for line in promoted if name in line.metrics]) for name in names)


def _trend(name: str, lines: list[VersionLine]) -> Trend:
    return Trend(name, [line.metrics[name] for line in lines], [line.version.label for line in lines])


def data_counts(pipeline: Pipeline) -> DataCounts:
    rows = Example.objects.filter(pipeline=pipeline).order_by()
    by_state = dict(rows.values_list("state").annotate(n=Count("id")))
    return DataCounts(by_state, rows.filter(state=ExampleState.READY, dataset=None).count())


def current_sets(pipeline: Pipeline) -> tuple[EvalSet, ...]:
    """The newest version of each kind of evaluation set."""
    newest: dict[str, EvalSet] = {}
    for row in EvalSet.objects.filter(pipeline=pipeline):
        newest.setdefault(row.kind, row)
    return tuple(newest.values())
