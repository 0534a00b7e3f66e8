"""One run as its page shows it: the seven stages, what each gave, what is going on now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from statistics import median
from typing import Any

from pipelines.domain.machines.line import Expected
from pipelines.fleet.memory import Preflight, preflight
from pipelines.models import (
    Check,
    DatasetVersion,
    GateResult,
    Job,
    ModelVersion,
    PipelineState,
    Placement,
    Rollback,
    Rollout,
    Run,
    RunEvent,
    Scorecard,
    StageRun,
)
from pipelines.reports.foresight.waiting import waiting
from pipelines.reports.scorecards import Measured, measured
from pipelines.reports.validation import DataReport, data_report
from tenants.models import Host
from tenants.pipeline_settings import STAGES

RECENT_CHECKS = 8
# So many runs say what a stage usually takes.
USUAL_OF = 10
FAILING = {"held", "failed", "stopped", "rejected", "rolled_back"}


@dataclass(frozen=True)
class StageLine:
    """`state`: done, now, todo, off, kept (of the run it goes on from), or what ended the run there.

    `seconds` so far, or in all; `usual_s`: the median of the latest runs that got through the stage.
    """

    name: str
    state: str
    seconds: float | None
    output: dict[str, Any]
    notes: dict[str, Any]
    is_open: bool
    usual_s: float | None = None

    @property
    def bar(self) -> str:
        """The class of its cell in the stage bar."""
        if self.state in ("held", "done", "now", "todo", "off"):
            return self.state
        return "off" if self.state in ("kept", "skipped", "cancelled") else "failed"

    @property
    def key(self) -> str:
        # A new key when the state changes: the page then opens the stage anew instead of keeping how it was.
        return f"stage-{self.name}-{self.state}"


@dataclass(frozen=True)
class JobLine:
    kind: str
    stage: str
    status: str
    percent: int
    note: str
    numbers: dict[str, Any]
    error: str
    log_tail: str
    attempts: int
    seconds: float | None


@dataclass(frozen=True)
class Looks:
    """The looks of one watch: the latest ones, newest first, and how many came before them."""

    latest: tuple[Check, ...]
    earlier: int

    @classmethod
    def of(cls, checks: Iterable[Check]) -> Looks:
        rows = list(checks)[::-1]
        return cls(tuple(rows[:RECENT_CHECKS]), max(0, len(rows) - RECENT_CHECKS))


@dataclass(frozen=True)
class RunPage:
    run: Run
    stages: tuple[StageLine, ...]
    jobs: tuple[JobLine, ...]
    events: tuple[RunEvent, ...]
    gates: tuple[GateResult, ...]
    checks: tuple[Check, ...]
    measured: Measured | None
    dataset: DatasetVersion | None
    data: DataReport
    version: ModelVersion | None
    rollout: Rollout | None
    placements: tuple[Placement, ...]
    rollback: Rollback | None
    seconds: float
    room: Preflight | None = None
    waits: Expected | None = None
    # How the chat template of a model that was not trained here differs from its base's, line by line.
    template_diff: tuple[str, ...] = ()

    @property
    def canary(self) -> Looks:
        return Looks.of(c for c in self.checks if c.phase != "monitor")

    @property
    def monitor(self) -> Looks:
        return Looks.of(c for c in self.checks if c.phase == "monitor")


def run_page(run: Run, now: datetime) -> RunPage:
    """Everything of one run in a fixed number of queries, inside its client's scope."""
    version = ModelVersion.objects.filter(run=run).first()
    rollout = Rollout.objects.filter(run=run).select_related("version", "previous").first()
    rows, jobs = list(run.stages.all()), list(run.jobs.all())
    return RunPage(
        run=run,
        stages=stage_lines(run, rows, now, usual_times(run)),
        jobs=tuple(job_line(job, now) for job in jobs),
        events=tuple(run.events.all()),
        gates=tuple(run.gates.all()),
        checks=tuple(Check.objects.filter(rollout=rollout)) if rollout else (),
        measured=measured(Scorecard.objects.filter(run=run).first()),
        dataset=DatasetVersion.objects.filter(run=run).first(),
        data=data_report(run, next((row for row in rows if row.stage == "validate"), None)),
        version=version,
        rollout=rollout,
        placements=tuple(Placement.objects.filter(version=version).select_related("host")) if version else (),
        rollback=_rollback(rollout),
        seconds=((run.finished_at or now) - run.created_at).total_seconds(),
        room=_room(run, version, rollout),
        waits=waiting([run.pk], now).get(run.pk) if run.is_live else None,
        template_diff=_template_diff(jobs),
    )


def _room(run: Run, version: ModelVersion | None, rollout: Rollout | None) -> Preflight | None:
    """Shown before anything is placed and while it is on its way: where it fits, and what a way back will cost."""
    if version is None or not run.is_live or run.stage not in ("compare", "deploy"):
        return None
    named = run.revision.settings.hosts
    hosts = Host.objects.filter(client_id=run.client_id, is_enabled=True, drained_at=None)
    hosts = hosts.filter(name__in=named) if named else hosts
    state = PipelineState.objects.filter(pipeline_id=run.pipeline_id).select_related("production").first()
    previous = rollout.previous if rollout else state.production if state else None
    return preflight(version, previous, list(hosts)) if previous and hosts else None


def _template_diff(jobs: Sequence[Job]) -> tuple[str, ...]:
    found = (job.result.get("template") or {} for job in jobs if job.kind == "train")
    return tuple(line for template in found if template.get("differs") for line in template["diff"])


def usual_times(run: Run) -> dict[str, float]:
    """{stage: seconds}, the median of the latest runs of the pipeline that got through it."""
    rows = StageRun.objects.filter(run__pipeline_id=run.pipeline_id, status="done", finished_at__isnull=False)
    rows = rows.exclude(run=run).order_by("-run__number")[: USUAL_OF * len(STAGES)]
    seen: dict[str, list[float]] = {}
    for stage, begin, end in rows.values_list("stage", "started_at", "finished_at"):
        seen.setdefault(stage, []).append((end - begin).total_seconds())
    return {stage: median(times[:USUAL_OF]) for stage, times in seen.items()}


def stage_lines(run: Run, rows: Sequence[StageRun], now: datetime, usual: Mapping[str, float]) -> tuple[StageLine, ...]:
    by_name = {row.stage: row for row in rows}
    switched_on = set(run.path)
    reached = STAGES.index(run.stage) if run.stage in STAGES else 0
    lines = (
        _stage(run, by_name.get(name), name, _state(run, name, reached, name in switched_on), now) for name in STAGES
    )
    return tuple(replace(line, usual_s=usual.get(line.name)) for line in lines)


def _state(run: Run, name: str, reached: int, is_on: bool) -> str:
    place = STAGES.index(name)
    if not is_on:
        return "kept" if "of" in run.occasion else "off"
    if place < reached or run.status == "succeeded":
        return "done"
    if place > reached:
        return "todo" if run.is_live else "skipped"
    return "now" if run.status in ("queued", "running", "waiting") else run.status


def _stage(run: Run, row: StageRun | None, name: str, state: str, now: datetime) -> StageLine:
    seconds = None
    if row is not None:
        end = row.finished_at or run.finished_at or now
        seconds = max(0.0, (end - row.started_at).total_seconds())
    is_open = state in FAILING or state == "now"
    return StageLine(name, state, seconds, row.output if row else {}, row.notes if row else {}, is_open)


def job_line(job: Job, now: datetime) -> JobLine:
    seconds = ((job.finished_at or now) - job.started_at).total_seconds() if job.started_at else None
    share = 1.0 if job.status == "succeeded" else float(job.progress.get("progress") or 0.0)
    said = (str(job.progress.get("note", "")), dict(job.progress.get("numbers") or {}))
    return JobLine(
        job.kind, job.stage, job.status, round(100 * share), *said, job.error, job.log_tail, job.attempts, seconds
    )


def _rollback(rollout: Rollout | None) -> Rollback | None:
    if rollout is None:
        return None
    return Rollback.objects.filter(rollout=rollout).select_related("from_version", "to_version").first()
