"""A training that cannot be done: tried once more, then the run fails, with the last lines of the trainer's log."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils.timezone import now

from agency.mail.compose import compose
from pipelines import plan
from pipelines.engine import jobs
from pipelines.heavy import train
from pipelines.models import Job, Notice
from tenants.models import Pipeline
from tests.flow.test_line import later, start

TOO_LITTLE_BYTES = 400_000_000  # torch does not even load in so much address space.


def test_a_trainer_without_memory_is_tried_once_more_and_then_the_run_fails_with_its_last_lines(
    pipeline: Pipeline, add_rows: Callable[..., None], monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.CHILD_MEMORY_BYTES = TOO_LITTLE_BYTES
    monkeypatch.setitem(plan.JOBS, "train", train.work)
    add_rows(0, 30)
    run = start(pipeline)
    job = Job.objects.get(run=run, kind="train")
    assert (run.status, job.status, job.attempts) == ("waiting", "queued", 1)
    jobs.work_on(job.pk, plan.JOBS, lambda: now() + timedelta(minutes=1))
    run, job = later(run, 120), Job.objects.get(pk=job.pk)

    assert (run.status, job.status, job.attempts) == ("failed", "failed", 2)
    assert run.reason.startswith("train: ")
    last = " ".join(job.log_tail.strip().splitlines()[-1].split())
    assert last
    assert last[:100] in compose(Notice.objects.get(run=run, kind="failed")).text
