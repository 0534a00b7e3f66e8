"""A stalled worker that comes back late changes nothing; two tickers and a broker that is down do no harm."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from agency.celery import app
from pipelines import actions
from pipelines.artifacts import scratch_of
from pipelines.domain.transitions import JobStatus
from pipelines.engine import dispatch, jobs, kernel
from pipelines.engine.outcome import Done, Stop
from pipelines.engine.to_celery import CeleryDispatch
from pipelines.models import Example, Job, Notice, Run, RunEvent
from pipelines.plan import JOBS, PLAN
from pipelines.ticker import Ticker
from pipelines.validation import judging
from tenants.models import Pipeline
from tests.conftest import Clock
from tests.flow.conftest import lines, pipeline, quick_jobs
from tests.servers import free_port

__all__ = ("pipeline", "quick_jobs")
LEASE = timedelta(seconds=61)


class Recorder:
    """Keeps what would be sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, int]] = []

    def send(self, task: str, queue: str, client_id: int, row_id: int) -> None:
        self.sent.append((task, row_id))


@pytest.fixture
def post(monkeypatch: pytest.MonkeyPatch, settings: Any, tmp_path: Path) -> Iterator[Recorder]:
    settings.VAR = tmp_path
    recorder = Recorder()
    monkeypatch.setattr(dispatch, "engine", lambda: recorder)
    yield recorder


@pytest.fixture
def queued(pipeline: Pipeline, post: Recorder, clock: Clock) -> Run:
    actions.add_examples(pipeline, lines(0, 30), token="t", actor="tests", now=clock.now)
    return actions.start_run(pipeline, actor="owner", now=clock.now)


def story(run: Run) -> list[tuple]:
    return list(RunEvent.objects.filter(run=run).values_list("seq", "stage", "to_status", "reason"))


def test_a_stalled_worker_that_settles_late_changes_nothing(queued: Run, clock: Clock) -> None:
    stalled = kernel.claim(queued.pk, clock.now)
    assert stalled is not None
    clock.now += LEASE
    assert kernel.advance(queued.pk, PLAN, lambda: clock.now)
    before, row = story(queued), Run.objects.values().get(pk=queued.pk)
    kernel.settle(stalled, Stop("rejected", "seen long ago"), PLAN, clock.now)
    assert story(queued) == before
    assert Run.objects.values().get(pk=queued.pk) == row
    assert not Notice.objects.exists()


def test_a_lease_that_still_runs_is_not_taken_over(queued: Run, clock: Clock) -> None:
    first = kernel.claim(queued.pk, clock.now)
    assert first is not None
    assert kernel.claim(queued.pk, clock.now + timedelta(seconds=59)) is None
    second = kernel.claim(queued.pk, clock.now + LEASE)
    assert second is not None
    assert (second.version, second.retries) == (first.version + 1, 1)


def test_a_stage_that_lost_its_run_commits_nothing(queued: Run, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first worker stalls in the middle of its checks; the one that takes over finishes them."""
    kernel.advance(queued.pk, PLAN, lambda: clock.now)
    original, inner = judging.mark_duplicates, []

    def stalled(*args: Any) -> None:
        monkeypatch.setattr(judging, "mark_duplicates", original)
        clock.now += LEASE
        inner.append(kernel.claim(queued.pk, clock.now))
        original(*args)

    monkeypatch.setattr(judging, "mark_duplicates", stalled)
    assert kernel.advance(queued.pk, PLAN, lambda: clock.now)
    assert not Example.objects.filter(judged_in__isnull=False).exists()
    assert Run.objects.get(pk=queued.pk).version == inner[0].version


def test_rows_that_a_person_changes_while_they_are_judged_are_judged_again(
    queued: Run, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel.advance(queued.pk, PLAN, lambda: clock.now)
    original = judging.mark_duplicates

    def meanwhile(*args: Any) -> None:
        Example.objects.filter(line=1).update(state="discarded")
        original(*args)

    monkeypatch.setattr(judging, "mark_duplicates", meanwhile)
    kernel.advance(queued.pk, PLAN, lambda: clock.now)
    run = Run.objects.get(pk=queued.pk)
    assert (run.status, run.reason) == ("waiting", "trying again: rows were changed while they were judged")
    clock.now = run.due_at
    kernel.advance(queued.pk, PLAN, lambda: clock.now)
    assert run.stages.get(stage="validate").output["rows"] == 29


def test_two_workers_with_the_same_message_claim_once(queued: Run, clock: Clock, monkeypatch: Any) -> None:
    """Both read the row before either claims it."""
    original, winners = Run.move, []

    def move_second(run: Run, *args: Any, **changes: Any) -> bool:
        monkeypatch.setattr(Run, "move", original)
        winners.append(kernel.claim(queued.pk, clock.now))
        return original(run, *args, **changes)

    monkeypatch.setattr(Run, "move", move_second)
    assert kernel.claim(queued.pk, clock.now) is None
    assert winners[0] is not None


def test_a_run_whose_worker_is_lost_every_time_is_held_for_a_person(queued: Run, clock: Clock) -> None:
    for _lost in range(kernel.MAX_CONSECUTIVE_ERRORS + 2):
        assert kernel.claim(queued.pk, clock.now) is not None
        clock.now += LEASE
    kernel.advance(queued.pk, PLAN, lambda: clock.now)
    run = Run.objects.get(pk=queued.pk)
    assert run.status == "held"
    assert "the worker was lost too often" in run.reason


def to_the_first_job(run: Run, clock: Clock) -> Job:
    for _stage in ("trigger", "validate", "finetune"):
        kernel.advance(run.pk, PLAN, lambda: clock.now)
    return Job.objects.get(run=run)


def test_a_stalled_job_that_ends_late_changes_nothing(queued: Run, clock: Clock) -> None:
    job = to_the_first_job(queued, clock)
    stalled = jobs.claim(job.pk, clock.now)
    assert stalled is not None
    clock.now += LEASE
    assert jobs.work_on(job.pk, JOBS, lambda: clock.now)
    settled = Job.objects.values().get(pk=job.pk)
    pokes = Run.objects.get(pk=queued.pk).pokes
    jobs.settle(jobs.Work(stalled), JobStatus.SUCCEEDED, clock.now, result={"late": True})
    assert Job.objects.values().get(pk=job.pk) == settled
    assert Run.objects.get(pk=queued.pk).pokes == pokes
    assert (settled["status"], settled["attempts"]) == ("succeeded", 2)


def test_a_stalled_job_learns_from_its_heartbeat_that_it_was_taken_over(queued: Run, clock: Clock) -> None:
    job = to_the_first_job(queued, clock)
    stalled = jobs.claim(job.pk, clock.now)
    assert stalled is not None
    work = jobs.Work(stalled)
    jobs.renew(work, clock.now)
    assert not work.cancelled()
    assert jobs.claim(job.pk, clock.now + LEASE) is not None
    jobs.renew(work, clock.now + LEASE)
    assert work.cancelled()


def test_a_job_whose_worker_is_lost_on_every_attempt_fails_and_so_does_its_run(queued: Run, clock: Clock) -> None:
    job = to_the_first_job(queued, clock)
    for _attempt in range(job.max_attempts):
        assert jobs.claim(job.pk, clock.now) is not None
        clock.now += LEASE
    (scratch_of(job.pk) / "preflight.log").write_text("loading the base\nout of memory\n")
    assert not jobs.work_on(job.pk, JOBS, lambda: clock.now)
    kernel.advance(queued.pk, PLAN, lambda: clock.now)
    run = Run.objects.get(pk=queued.pk)
    assert (run.status, run.reason) == ("failed", "preflight: its worker was lost on every attempt")
    assert Job.objects.get(pk=job.pk).log_tail == "loading the base\nout of memory"
    assert Example.objects.filter(state="ready", judged_in=None, dataset=None).count() == 30


def test_a_poke_that_comes_while_the_stage_is_asked_is_not_lost(queued: Run, clock: Clock) -> None:
    to_the_first_job(queued, clock)
    kernel.poke(queued.client_id, queued.pk, clock.now)
    claimed = kernel.claim(queued.pk, clock.now)
    assert claimed is not None
    outcome = kernel.ask(claimed, PLAN, clock.now)
    kernel.poke(queued.client_id, queued.pk, clock.now)
    kernel.settle(claimed, outcome, PLAN, clock.now)
    run = Run.objects.get(pk=queued.pk)
    assert (run.status, run.due_at) == ("waiting", clock.now)


def test_a_cancel_that_comes_while_the_stage_is_asked_ends_the_run(queued: Run, clock: Clock) -> None:
    claimed = kernel.claim(queued.pk, clock.now)
    assert claimed is not None
    actions.cancel(Run.objects.get(pk=queued.pk), actor="owner", reason="enough", now=clock.now)
    kernel.settle(claimed, Done(), PLAN, clock.now)
    run = Run.objects.get(pk=queued.pk)
    assert (run.status, run.reason) == ("cancelled", "cancelled by owner: enough")


def test_two_tickers_wake_twice_and_the_run_takes_one_step(queued: Run, post: Recorder, clock: Clock) -> None:
    post.sent.clear()
    first, second = Ticker(), Ticker()
    first.tick(clock.now)
    second.tick(clock.now)
    wakes = [row for task, row in post.sent if task == "wake_run"]
    assert wakes == [queued.pk, queued.pk]
    kernel.advance(queued.pk, PLAN, lambda: clock.now)
    once = story(queued)
    assert [row[1:3] for row in once] == [("trigger", "queued"), ("trigger", "running"), ("trigger", "queued")]


def test_a_ticker_says_a_thing_that_stays_due_less_and_less_often(queued: Run, post: Recorder, clock: Clock) -> None:
    """As when every worker of the queue is busy for hours: the queue must not fill with the same message."""
    post.sent.clear()
    ticker = Ticker()
    for _second in range(3600):
        ticker.tick(clock.advance(seconds=1))
    wakes = [row for task, row in post.sent if task == "wake_run"]
    assert 10 <= len(wakes) <= 25


def test_with_the_broker_down_a_person_still_starts_a_run(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    monkeypatch.setattr(app.conf, "broker_url", f"redis://127.0.0.1:{free_port()}/0")
    celery = CeleryDispatch()
    monkeypatch.setattr(dispatch, "engine", lambda: celery)
    run = actions.start_run(pipeline, actor="owner", now=clock.now)
    assert (run.status, run.due_at) == ("queued", clock.now)
