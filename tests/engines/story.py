"""One story for every engine: a first version that a person promotes, a worse one, and one that a person takes back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from django.utils.timezone import now

from pipelines import actions
from pipelines.models import Run, RunEvent
from tenants.models import Pipeline
from tests import factories
from tests.engines.processes import until
from tests.flow.conftest import lines

OVERRIDES = {
    "data": {"min_new_examples": 10},
    "rollout": {
        "steps": [{"share": 0.05, "min_duration_s": 0}, {"share": 0.25, "min_duration_s": 0}],
        "check_every_s": 1,
        "min_keys": 0,
        "request_timeout_s": 1,
    },
    "monitor": {"duration_s": 1},
    "triggers": {"new_examples": None, "quality_below": None, "cooldown_s": 0},
}
Event = tuple[int, str, str, str, str]


def nothing() -> None:
    """Between two looks: the installation has a ticker of its own."""


class Story:
    """`between` is done between two looks at a run; `var` holds the workers' log."""

    overrides: Mapping[str, Any] = OVERRIDES

    def __init__(self, var: Path, between: Callable[[], object] = nothing) -> None:
        self.log = var / "workers.log"
        self.between = between
        self.pipeline: Pipeline = factories.make_pipeline(**self.overrides)

    def play(self) -> list[list[Event]]:
        """The events of its three runs."""
        with factories.inside(self.pipeline):
            return [self.promoted(), self.rejected(), self.taken_back()]

    def promoted(self) -> list[Event]:
        run = self.start(0)
        self.until(run, "held")
        self.approve(run)
        self.until(run, "succeeded")
        return events(run)

    def rejected(self) -> list[Event]:
        run = self.start(1000)
        self.until(run, "rejected")
        return events(run)

    def taken_back(self) -> list[Event]:
        run = self.start(2000)
        self.until(run, "waiting", "canary at 5 %")
        actions.roll_back(self.pipeline, to=None, actor="owner", reason="a client complained", now=now())
        self.until(run, "rolled_back")
        return events(run)

    def start(self, first: int) -> Run:
        actions.add_examples(self.pipeline, lines(first, 30), token=f"t{first}", actor="tests", now=now())
        return actions.start_run(self.pipeline, actor="owner", now=now())

    def approve(self, run: Run) -> None:
        actions.approve(Run.objects.get(pk=run.pk), actor="owner", reason="looks right", now=now())

    def until(self, run: Run, status: str, reason: str = "", timeout_s: float = 60.0) -> None:
        def is_there() -> bool:
            self.between()
            return self.is_at(run, status, reason)

        until(f"{run} becomes {status}", is_there, timeout_s, self.log if self.log.exists() else None)

    def is_at(self, run: Run, status: str, reason: str = "") -> bool:
        """At `reason` a run is waiting, or just looking at it again."""
        row = Run.objects.get(pk=run.pk)
        if reason:
            return list(events(run))[-1][3:] == (status, reason)
        if row.status != status and not row.is_live:
            raise AssertionError(f"{row} is {row.status}, not {status}: {row.reason}")
        return row.status == status


def events(run: Run) -> list[Event]:
    return list(RunEvent.objects.filter(run=run).values_list("seq", "stage", "from_status", "to_status", "reason"))
