"""One pipeline under a clock that jumps to whatever is due next. Every wake-up is lost: due rows alone drive it."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection

from pipelines import models, outbox
from pipelines.engine import jobs, kernel
from pipelines.plan import JOBS, PLAN
from tenants.models import Pipeline
from tests import factories

WRITES = ("INSERT", "UPDATE", "DELETE")
CRASHED = 3


@dataclass(frozen=True)
class Step:
    """One thing that a worker does: a look at a run, an attempt at a job, the sending of a notice."""

    model: type
    pk: int
    what: str


@dataclass
class World:
    pipeline: Pipeline
    now: datetime = factories.NOW
    idle: set[str] = field(default_factory=set)
    looked: set[Step] = field(default_factory=set)
    saved: sqlite3.Connection = field(default_factory=lambda: sqlite3.connect(":memory:"))

    def clock(self) -> datetime:
        return self.now

    def next_step(self) -> Step | None:
        """The row that is due first, with the clock moved to it. None when nothing will ever be due."""
        due = [row for row in map(_first_due, (models.Run, models.Job, models.Notice)) if row is not None]
        if not due:
            return None
        row = min(due, key=lambda row: row.due_at)
        self.now = max(self.now, row.due_at)
        return Step(type(row), row.pk, _what(row) if isinstance(row, models.Run) else _name(row))

    def do(self, step: Step) -> None:
        if step.model is models.Run:
            kernel.advance(step.pk, PLAN, self.clock)
        elif step.model is models.Job:
            jobs.work_on(step.pk, JOBS, self.clock)
        else:
            outbox.send_due(step.pk, self.now)

    def do_when_due(self, step: Step) -> None:
        """By another worker, as soon as the row is due again: after the lease of the one that is gone."""
        due_at = step.model.objects.values_list("due_at", flat=True).get(pk=step.pk)
        if due_at is not None:
            self.now = max(self.now, due_at)
            self.do(step)

    def save(self) -> None:
        connection.ensure_connection()
        connection.connection.backup(self.saved)

    @contextmanager
    def undone(self) -> Iterator[None]:
        """Starts from what was saved; the clock is put back afterwards."""
        now = self.now
        connection.ensure_connection()
        self.saved.backup(connection.connection)
        yield
        self.now = now


def _first_due(model: Any) -> Any:
    return model.objects.filter(due_at__isnull=False).order_by("due_at", "pk").first()


def _what(run: models.Run) -> str:
    return (
        f"look at {run.stage}, held {len(run.approvals.get(run.stage, []))}"
        if run.status == "held"
        else f"stage {run.stage}"
    )


def _name(row: Any) -> str:
    return f"job {row.kind.partition(':')[0]}" if isinstance(row, models.Job) else f"notice {row.kind}"


class DieBeforeWrite:
    """Kills its process just before the n-th statement that writes (from 0)."""

    def __init__(self, number: int) -> None:
        self.left = number

    def __call__(self, execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
        if sql.startswith(WRITES):
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            self.left -= 1
        return execute(sql, *rest)


def was_killed(number: int, do: Callable[[], None]) -> bool:
    """Does it in a child process that is killed before its n-th write. False when it had no so many."""
    connection.close()  # SQLite must not be carried over a fork.
    child = os.fork()
    if child == 0:
        code = CRASHED
        try:
            with connection.execute_wrapper(DieBeforeWrite(number)):
                do()
            code = 0
        finally:
            os._exit(code)
    _pid, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, f"write {number}: the worker crashed by itself"
    return os.WIFSIGNALED(status)


def picture() -> dict[str, list[Any]]:
    """Everything that a run leaves, without times, versions, counts of attempts, and looks that decided nothing."""
    found = {name: map(repr, model.objects.values_list(*fields)) for name, (model, fields) in SEEN.items()}
    return {name: sorted(row for row in rows if not row.endswith(IDLE_LOOKS)) for name, rows in found.items()}


# A worker that takes over may look once more than the one before it would have.
IDLE_LOOKS = ("'stay')", "'continue')")
SEEN: dict[str, tuple[Any, tuple[str, ...]]] = {
    "runs": (models.Run, ("number", "status", "stage", "reason", "verdict", "retries")),
    "events": (models.RunEvent, ("run", "seq", "stage", "from_status", "to_status", "reason")),
    "stages": (models.StageRun, ("run", "stage", "status")),
    "jobs": (models.Job, ("run", "stage", "kind", "status", "result")),
    "notices": (models.Notice, ("key", "kind", "detail")),
    "datasets": (models.DatasetVersion, ("run", "digest", "rows_total", "rows_new", "left_out")),
    "versions": (models.ModelVersion, ("run", "number", "status", "gguf_digest")),
    "scorecards": (models.Scorecard, ("run", "version", "metrics")),
    "gates": (models.GateResult, ("run", "position", "verdict", "sentence")),
    "placements": (models.Placement, ("version", "host", "status", "model_name")),
    "rollouts": (models.Rollout, ("run", "status", "step")),
    "checks": (models.Check, ("rollout", "phase", "number", "decision")),
    "rollbacks": (models.Rollback, ("from_version", "to_version", "phase", "sentence")),
    "route": (models.Route, ("production", "candidate", "candidate_bp", "serial")),
    "state": (models.PipelineState, ("production", "latest_run", "last_version_number")),
    "examples": (models.Example, ("pk", "state", "judged_in", "dataset")),
}


def effects() -> list[str]:
    """Where the quick jobs' effects land, one line each."""
    path = Path(settings.VAR) / "effects.log"
    return path.read_text().splitlines() if path.exists() else []


def forget_effects() -> None:
    (Path(settings.VAR) / "effects.log").unlink(missing_ok=True)
