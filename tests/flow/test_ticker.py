"""The ticker: everything that is due is sent in the end, however much of it stays due."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pipelines.engine import dispatch
from pipelines.models import Job, Run
from pipelines.ticker import AGAIN_AT_LEAST, SENT_A_TICK, Ticker
from tenants.models import Pipeline
from tests import factories
from tests.conftest import Clock

STUCK = SENT_A_TICK + 50


class Recorder:
    """Keeps the jobs that would be sent, in order; refuses those that it is told to."""

    def __init__(self) -> None:
        self.sent: list[int] = []
        self.poison: int | None = None

    def send(self, task: str, queue: str, client_id: int, row_id: int) -> None:
        if task == "work_job":
            if row_id == self.poison:
                raise ConnectionError("refused")
            self.sent.append(row_id)


@pytest.fixture
def post(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()
    monkeypatch.setattr(dispatch, "engine", lambda: recorder)
    return recorder


def make_jobs(run: Run, count: int, clock: Clock, kind: str = "train", queue: str = "gpu") -> list[int]:
    """Jobs that are due at the clock and that nobody claims."""
    times = {"created_at": clock.now, "due_at": clock.now}
    made = [Job.of(run, run=run, stage="finetune", kind=f"{kind}:{n}", queue=queue, **times) for n in range(count)]
    return [job.pk for job in Job.objects.bulk_create(made)]


def test_jobs_that_no_worker_takes_do_not_hide_a_newer_one(pipeline: Pipeline, post: Recorder, clock: Clock) -> None:
    run = factories.make_run(pipeline, at="finetune", status="waiting", now=clock.now)
    Job.objects.all().delete()
    stuck = make_jobs(run, STUCK, clock)
    ticker = Ticker()
    clock.advance(seconds=1)
    for _ in range(3):
        ticker.tick(clock.advance(seconds=1))
    assert sorted(set(post.sent)) == stuck, "those past the first sending are sent too"
    (restore,) = make_jobs(run, 1, clock, "restore", "push")
    post.sent.clear()

    ticker.tick(clock.advance(seconds=1))

    assert post.sent[0] == restore, "what was never sent goes before what is sent again"


def test_a_tick_is_bounded(pipeline: Pipeline, post: Recorder, clock: Clock) -> None:
    run = factories.make_run(pipeline, at="finetune", status="waiting", now=clock.now)
    Job.objects.all().delete()
    make_jobs(run, STUCK, clock)

    Ticker().tick(clock.advance(seconds=1))

    assert len(post.sent) == SENT_A_TICK


def test_a_long_line_is_sent_again_by_what_its_workers_take(pipeline: Pipeline, post: Recorder, clock: Clock) -> None:
    run = factories.make_run(pipeline, at="finetune", status="waiting", now=clock.now)
    Job.objects.all().delete()
    line, (restore,) = make_jobs(run, 600, clock), make_jobs(run, 1, clock, "restore", "push")
    ticker = Ticker()
    first = ticks(ticker, post, clock, 5)
    assert sorted(set(first)) == [*line, restore]

    idle = ticks(ticker, post, clock, 300) + ticks(ticker, post, clock, 300)
    assert idle.count(restore) >= 2, "what goes to hosts is sent again whatever waits elsewhere"
    assert 0 < sum(pk != restore for pk in idle) <= 3 * AGAIN_AT_LEAST, "nobody took any: few are sent again"

    Job.objects.filter(pk__in=line[:100]).update(status="running", due_at=clock.now + timedelta(days=1))
    hungry = ticks(ticker, post, clock, 300) + ticks(ticker, post, clock, 300)
    assert 200 <= sum(pk != restore for pk in hungry) <= 250, "where a hundred were taken, twice as many are woken for"


def ticks(ticker: Ticker, post: Recorder, clock: Clock, seconds: int) -> list[int]:
    """What is sent in so many seconds."""
    post.sent.clear()
    for _ in range(seconds):
        ticker.tick(clock.advance(seconds=1))
    return list(post.sent)


def test_a_row_that_cannot_be_sent_blocks_none_behind_it(pipeline: Pipeline, post: Recorder, clock: Clock) -> None:
    run = factories.make_run(pipeline, at="finetune", status="waiting", now=clock.now)
    Job.objects.all().delete()
    post.poison, second, third = make_jobs(run, 3, clock)
    ticker = Ticker()

    with pytest.raises(ConnectionError):
        ticker.tick(clock.advance(seconds=1))
    ticker.tick(clock.advance(seconds=1))

    assert post.sent == [second, third]
