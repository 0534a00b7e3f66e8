"""Real workers of both engines: messages lost, doubled and late; a training that holds up nobody."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path

from django.utils.timezone import now

from pipelines import actions
from pipelines.engine import dispatch
from pipelines.models import Job, Run
from tests import factories
from tests.engines.processes import QUICK, Workers, until
from tests.engines.story import OVERRIDES, Story
from tests.flow.conftest import lines

LEASE_S = float(QUICK["RETUNE_LEASE_S"])
Start = Callable[..., AbstractContextManager[Workers]]


def effects(var: Path) -> Counter[str]:
    """kind of job -> how often its effect landed."""
    return Counter(line.split()[1].partition(":")[0] for line in (var / "effects.log").read_text().splitlines())


def test_a_training_delays_neither_other_runs_nor_its_own_cancellation(workers_with: Start, tmp_path: Path) -> None:
    with workers_with(RETUNE_TEST_HOLD="train"):
        story, other = Story(tmp_path), factories.make_pipeline(**OVERRIDES)
        with factories.inside(story.pipeline):
            training = story.start(0)
        until("the training begins", (tmp_path / "holding").exists, log=story.log)
        with factories.inside(other):
            actions.add_examples(other, lines(0, 3), token="t", actor="tests", now=now())
            skipped = actions.start_run(other, actor="owner", now=now())
            until("the other run is over", lambda: Run.objects.get(pk=skipped.pk).status == "skipped", 10, story.log)
        with factories.inside(story.pipeline):
            assert Job.objects.get(kind="train").status == "running"
            actions.cancel(Run.objects.get(pk=training.pk), actor="owner", reason="enough", now=now())
            assert Run.objects.get(pk=training.pk).status == "cancelled"
            assert Job.objects.get(kind="train").status == "cancelled"
            again = story.start(1000)  # The worker hears of it at its next heartbeat, and is free again.
            story.until(again, "waiting", "job train")
            (tmp_path / "release").touch()
            story.until(again, "held")


def test_a_long_stage_is_taken_over_when_its_worker_dies_and_not_before(workers_with: Start, tmp_path: Path) -> None:
    def holding() -> list[int]:
        return [int(line) for line in (tmp_path / "holding").read_text().split()]

    (tmp_path / "holding").touch()
    with workers_with(RETUNE_TEST_HOLD_STAGE="validate"):
        story = Story(tmp_path)
        with factories.inside(story.pipeline):
            run = story.start(0)
            until("the stage begins", holding, log=story.log)
            begun = Run.objects.get(pk=run.pk)
            until("its lease would be over twice", lambda: now() > begun.due_at + timedelta(seconds=LEASE_S))
            row = Run.objects.get(pk=run.pk)
            assert (row.status, row.version, row.retries, len(holding())) == ("running", begun.version, 0, 1)
            os.kill(holding()[0], signal.SIGKILL)
            until("another worker asks the stage", lambda: len(holding()) == 2, log=story.log)
            row = Run.objects.get(pk=run.pk)
            assert (row.status, row.version, row.retries) == ("running", begun.version + 1, 1)
            (tmp_path / "release").touch()
            story.until(run, "held")


def test_lost_doubled_and_foreign_messages_change_nothing(workers_with: Start, tmp_path: Path) -> None:
    with workers_with():
        story = Story(tmp_path)
        with factories.inside(story.pipeline):
            real, dispatch.engine = dispatch.engine, Deaf
            try:
                run = story.start(0)  # Nobody is told: the ticker finds the row.
            finally:
                dispatch.engine = real
            for _again in range(20):
                dispatch.wake_run(run.client_id, run.pk)
                dispatch.wake_run(run.client_id, 999_999)
                dispatch.work_job(run.client_id, 999_999, "cpu")
            story.until(run, "held")
            assert effects(tmp_path) == {"train": 1, "build": 1}
            assert Job.objects.exclude(attempts=1).count() == 0


class Deaf:
    def send(self, task: str, queue: str, client_id: int, row_id: int) -> None:
        """The message is lost."""
