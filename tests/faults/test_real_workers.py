"""Workers killed by kill -9 under both engines; messages lost, doubled and late; a training that holds up nobody."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from django.utils.timezone import now

from pipelines import actions
from pipelines.engine import dispatch
from pipelines.models import Job, Notice, Placement, Run
from tests import factories
from tests.engines.processes import Workers, until
from tests.engines.story import OVERRIDES, Story
from tests.flow.conftest import lines

Start = Callable[..., AbstractContextManager[Workers]]
# On SQLite every single write has its own kill in test_between_any_two_writes.py.
KILLS = [
    ("q2", "job-claimed:train"),
    *(("celery", p) for p in ("claimed:finetune", "job-claimed:train", "settling:deploy")),
]


def effects(var: Path) -> Counter[str]:
    """kind of job -> how often its effect landed."""
    return Counter(line.split()[1].partition(":")[0] for line in (var / "effects.log").read_text().splitlines())


@pytest.mark.parametrize(("workers_with", "point"), KILLS, indirect=["workers_with"])
def test_another_worker_takes_over_and_each_effect_lands_once(workers_with: Start, tmp_path: Path, point: str) -> None:
    with workers_with(RETUNE_TEST_KILL=point):
        story = Story(tmp_path)
        with factories.inside(story.pipeline):
            story.promoted()
            assert (tmp_path / "killed").exists()
            assert effects(tmp_path) == {"train": 1, "build": 1, "push": 1}
            assert Placement.objects.count() == 1
            assert dict(Counter(Notice.objects.values_list("kind", flat=True))) == {"held": 1, "promoted": 1}


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
