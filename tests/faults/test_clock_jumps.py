"""The clock of a machine jumps: forward a day, back an hour. No version is promoted or taken back for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

import pytest
from django.utils.timezone import now

from pipelines.engine import kernel
from pipelines.models import Check, Exchange, ModelVersion, Rollback, Rollout, Route, Run, RunEvent
from pipelines.plan import PLAN
from pipelines.shipping.promotion import promote
from tenants.actions import change_settings
from tenants.models import Pipeline
from tests.flow.conftest import add_rows, pipeline, quick_jobs
from tests.flow.test_line import promoted, start

__all__ = ["add_rows", "pipeline", "quick_jobs"]

STEPS = [{"share": 0.05, "min_duration_s": 7200}, {"share": 0.25, "min_duration_s": 14_400}]
DAY, HOUR, LOOK = timedelta(days=1), timedelta(hours=1), timedelta(seconds=300)


def patient(pipeline: Pipeline) -> None:
    """The steps, looks and limits of the product in the place of the tests' quick ones."""
    body = pipeline.settings.model_dump(mode="json")
    plan = body["rollout"] | {"steps": STEPS, "check_every_s": 300, "min_keys": 50, "request_timeout_s": 60}
    change_settings(pipeline, body | {"rollout": plan}, "tests", now())
    pipeline.refresh_from_db()


@pytest.fixture
def canary(pipeline: Pipeline, add_rows: Callable[..., None]) -> Iterator[Run]:
    """v2 in its first step, an hour old, with healthy traffic of both arms."""
    add_rows(0, 30)
    promoted(pipeline)
    patient(pipeline)
    add_rows(1000, 30)
    run = start(pipeline)
    assert run.reason == "canary at 5 %"
    rollout = Rollout.objects.get(run=run)
    for minute in range(60):
        exchanges(rollout, rollout.step_started_at + timedelta(minutes=minute))
    yield ticked(run, rollout.step_started_at, rollout.step_started_at + HOUR)


def exchanges(rollout: Rollout, at: datetime) -> None:
    """One healthy answer of the candidate and nine of production, each of a caller of its own."""
    for n in range(10):
        version = rollout.version if n == 0 else rollout.previous
        arm = "candidate" if n == 0 else "production"
        fields = {"host": "shop", "arm": arm, "key_hash": f"{at:%H%M}-{n}", "status": 200, "latency_ms": 9.0}
        times = {"at": at, "finished_at": at, "request_id": f"r{at:%d%H%M}-{n}"}
        Exchange.of(version, pipeline=rollout.pipeline, version=version, rollout=rollout, **fields, **times).save()


def ticked(run: Run, since: datetime, until: datetime) -> Run:
    """Woken every five minutes by a clock that goes on as clocks do."""
    at = since
    while at < until:
        at += LOOK
        kernel.advance(run.pk, PLAN, lambda at=at: at)
    return Run.objects.get(pk=run.pk)


def story(run: Run) -> tuple[list[tuple[str, str]], int, int]:
    """What a jump may not change: the events, the counted evidence, the looks."""
    events = list(RunEvent.objects.filter(run=run).values_list("to_status", "reason"))
    return events, Check.objects.filter(rollout__run=run).count(), Rollback.objects.count()


def share(pipeline: Pipeline) -> int:
    return Route.objects.get(pipeline=pipeline).candidate_bp


def test_a_day_forward_in_a_canary_advances_nothing_that_has_no_evidence(canary: Run, pipeline: Pipeline) -> None:
    rollout = Rollout.objects.get(run=canary)
    before = rollout.step
    jumped = rollout.step_started_at + HOUR + DAY

    kernel.advance(canary.pk, PLAN, lambda: jumped)
    kernel.advance(canary.pk, PLAN, lambda: jumped + LOOK)

    run, rollout = Run.objects.get(pk=canary.pk), Rollout.objects.get(run=canary)
    assert rollout.version.status == "candidate" and not Rollback.objects.exists()
    assert Route.objects.get(pipeline=pipeline).production.label == "v1"
    assert rollout.step <= before + 1, "one step at the most: the next begins by its own clock"
    assert run.status in ("waiting", "held")


def test_an_hour_back_in_a_canary_counts_nothing_twice_and_goes_on(canary: Run, pipeline: Pipeline) -> None:
    rollout = Rollout.objects.get(run=canary)
    at, before, evidence = rollout.step_started_at + HOUR, story(canary), rollout.canary
    for minutes in range(0, 60, 5):
        kernel.advance(canary.pk, PLAN, lambda minutes=minutes: at - HOUR + timedelta(minutes=minutes))

    rollout.refresh_from_db()
    assert story(canary) == before and rollout.canary == evidence and share(pipeline) == 500
    for minute in range(60, 130):
        exchanges(rollout, rollout.step_started_at + timedelta(minutes=minute))
    run = ticked(canary, at, at + timedelta(hours=1, minutes=15))
    assert share(pipeline) == 2500 and run.reason == "canary at 25 %", "as it would have gone without the jump"


def test_a_poke_by_a_clock_that_is_behind_judges_nothing_before_its_time(canary: Run, pipeline: Pipeline) -> None:
    """A person's act, or a worker on another machine, wakes the run at once: the look is one at an earlier hour."""
    rollout = Rollout.objects.get(run=canary)
    at, evidence = rollout.step_started_at + HOUR, rollout.canary
    behind = at - timedelta(minutes=50)
    Run.objects.filter(pk=canary.pk).update(due_at=behind)

    kernel.advance(canary.pk, PLAN, lambda: behind)

    rollout.refresh_from_db()
    assert rollout.canary == evidence and share(pipeline) == 500 and not Rollback.objects.exists()
    assert Run.objects.get(pk=canary.pk).status == "waiting"


@pytest.fixture
def watched(pipeline: Pipeline, add_rows: Callable[..., None]) -> Run:
    """v2 at 100 %, on watch."""
    add_rows(0, 30)
    promoted(pipeline)
    add_rows(1000, 30)
    run = start(pipeline)
    rollout = Rollout.objects.get(run=run)
    promote(rollout, now())
    kernel.advance(run.pk, PLAN, lambda: now() + timedelta(seconds=5))
    run = Run.objects.get(pk=run.pk)
    assert (run.stage, run.status) == ("monitor", "waiting"), run.reason
    return run


def test_a_day_forward_in_the_monitor_ends_it_as_one_that_saw_too_little(watched: Run, pipeline: Pipeline) -> None:
    kernel.advance(watched.pk, PLAN, lambda: now() + DAY + HOUR)
    run = Run.objects.get(pk=watched.pk)
    assert ModelVersion.objects.get(number=2).status == "production" and not Rollback.objects.exists()
    assert run.status == "succeeded"
    last = Check.objects.filter(rollout__run=run, phase="monitor").order_by("-id").first()
    assert last is not None and "without enough evidence" in last.sentence


def test_an_hour_back_in_the_monitor_repeats_no_look(watched: Run, pipeline: Pipeline) -> None:
    live_at = Rollout.objects.get(run=watched).went_live_at
    run = ticked(watched, live_at, live_at + HOUR)
    before = story(run)
    ticked(run, live_at - HOUR, live_at + HOUR - LOOK)
    assert story(run) == before
    after = ticked(run, live_at + HOUR, live_at + HOUR + timedelta(minutes=20))
    assert after.status == "waiting" and story(after)[1] > before[1], "the looks go on when the clock is there again"
