"""Turns: whoever asks first for fifty jobs does not get fifty turns, with one worker or with many."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import pytest
from django.db import connection

from pipelines import plan, tasks
from pipelines.engine import dispatch
from pipelines.engine.jobs import Work
from pipelines.machines import turns
from pipelines.models import Job, Run
from pipelines.reports.foresight.waiting import waiting
from tenants import scope
from tenants.models import Agency, Client
from tests import factories
from tests.conftest import Clock

WAITS_S = 20.0


class Post:
    """Keeps the wake-ups that were sent, as a broker does."""

    def __init__(self) -> None:
        self.sent: list[tuple[int, int]] = []

    def send(self, task: str, queue: str, client_id: int, row_id: int) -> None:
        if task == "work_job":
            self.sent.append((client_id, row_id))


@pytest.fixture(autouse=True)
def post(monkeypatch: pytest.MonkeyPatch) -> Post:
    made = Post()
    monkeypatch.setattr(dispatch, "engine", lambda: made)
    return made


@pytest.fixture
def worked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The clients whose jobs were worked on, in order."""
    slugs: list[str] = []

    def note(work: Work) -> dict[str, Any]:
        slugs.append(work.job.client.slug)
        return {}

    monkeypatch.setitem(plan.JOBS, "hops", note)
    return slugs


def has_jobs(client: Client, number: int, at: datetime, queue: str = "cpu") -> list[tuple[int, int]]:
    """Due jobs of a run of the client's; gives the wake-ups that belong to them."""
    run = factories.make_run(factories.make_pipeline(client), at="evaluate", status="waiting", now=at)
    with factories.inside(client):
        Job.objects.filter(run=run).delete()
        Run.objects.filter(pk=run.pk).update(due_at=None)
        rows = [_job(run, f"hops:{n}", queue, at) for n in range(number)]
        return [(client.pk, job.pk) for job in Job.objects.bulk_create(rows)]


def _job(run: Run, kind: str, queue: str, at: datetime) -> Job:
    return Job.of(run, run=run, stage="evaluate", kind=kind, queue=queue, created_at=at, due_at=at)


def ticking(clock: Clock) -> Callable[[], datetime]:
    """No two looks at it say the same, as with a clock on a wall."""
    ticks = count(1)
    return lambda: clock.now + timedelta(milliseconds=next(ticks))


def test_a_client_that_comes_later_has_the_next_turn(db: None, worked: list[str], clock: Clock) -> None:
    agency = factories.make_agency("north")
    calls = has_jobs(factories.make_client(agency, "acorn"), 5, clock.now)
    clock.advance(seconds=1)
    calls += has_jobs(factories.make_client(agency, "birch"), 2, clock.now)

    clock.advance(seconds=1)
    for call in calls:
        assert turns.work(*call, ticking(clock))
        clock.advance(seconds=1)

    assert worked == ["acorn", "birch", "acorn", "birch", "acorn", "acorn", "acorn"]


def test_agencies_take_turns_before_their_clients_do(db: None, worked: list[str], clock: Clock) -> None:
    north, south = factories.make_agency("north"), factories.make_agency("south")
    calls = [call for n in range(4) for call in has_jobs(factories.make_client(north, f"north-{n}"), 1, clock.now)]
    clock.advance(seconds=1)
    calls += has_jobs(factories.make_client(south, "south-0"), 3, clock.now)

    clock.advance(seconds=1)
    for call in calls:
        turns.work(*call, ticking(clock))
        clock.advance(seconds=1)

    assert worked == ["north-0", "south-0", "north-1", "south-0", "north-2", "south-0", "north-3"]


def test_each_wake_up_is_one_job_and_none_is_left(db: None, worked: list[str], clock: Clock) -> None:
    client = factories.make_client(None, "acorn")
    calls = has_jobs(client, 3, clock.now)

    done = [turns.work(*calls[0], ticking(clock)) for _again in range(5)]

    assert done == [True, True, True, False, False], "a doubled wake-up finds nothing to do"


def test_a_push_waits_for_no_turn_of_another_queue(db: None, worked: list[str], clock: Clock) -> None:
    agency = factories.make_agency("north")
    has_jobs(factories.make_client(agency, "acorn"), 3, clock.now)
    (push,) = has_jobs(factories.make_client(agency, "birch"), 1, clock.now, "push")

    turns.work(*push, ticking(clock))

    assert worked == ["birch"]


def test_a_bound_leaves_room_for_others_and_never_blocks_a_push(
    db: None, clock: Clock, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.JOBS_PER_CLIENT = 1
    agency = factories.make_agency("north")
    acorn, birch = factories.make_client(agency, "acorn"), factories.make_client(agency, "birch")
    calls = has_jobs(acorn, 3, clock.now)
    seen: list[str] = []

    def nested(work: Work) -> dict[str, Any]:
        """While this job runs, other workers are woken for all the rest."""
        seen.append(f"{work.job.client.slug} {work.job.queue}")
        if len(seen) == 1:
            assert [turns.work(*call, ticking(clock)) for call in rest] == [True, False, False, True]
        return {}

    rest = [*has_jobs(birch, 1, clock.now), *calls[1:]]
    with factories.inside(acorn):
        push = Job.objects.bulk_create([_job(Job.objects.get(pk=calls[0][1]).run, "hops:push", "push", clock.now)])
    rest.append((acorn.pk, push[0].pk))
    monkeypatch.setitem(plan.JOBS, "hops", nested)

    assert turns.work(*calls[0], ticking(clock))

    assert seen == ["acorn cpu", "birch cpu", "acorn push"]


@pytest.fixture
def crowd(transactional_db: None, clock: Clock) -> Iterator[list[tuple[int, int]]]:
    """Eighteen due jobs of three clients of two agencies."""
    north, south = factories.make_agency("north"), factories.make_agency("south")
    clients = [(north, "acorn", 10), (north, "birch", 4), (south, "cedar", 4)]
    yield [call for agency, slug, n in clients for call in has_jobs(factories.make_client(agency, slug), n, clock.now)]


def test_many_workers_take_each_job_once_and_keep_the_bound(
    crowd: list[tuple[int, int]], clock: Clock, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.JOBS_PER_CLIENT = 2
    lock, times, busy, most = threading.Lock(), Counter[int](), Counter[str](), Counter[str]()

    def slow(work: Work) -> dict[str, Any]:
        slug = work.job.client.slug
        with lock:
            times[work.job.pk] += 1
            busy[slug] += 1
            most[slug] = max(most[slug], busy[slug])
        threading.Event().wait(0.02)
        with lock:
            busy[slug] -= 1
        return {}

    monkeypatch.setitem(plan.JOBS, "hops", slow)
    monkeypatch.setattr(tasks, "clock", ticking(clock))
    clock.advance(seconds=1)
    wakes, failed = iter(crowd * 40), list[BaseException]()

    def worker() -> None:
        try:
            while (call := _next(wakes, lock)) is not None and len(times) < len(crowd):
                tasks.work_job(*call)
        except BaseException as error:
            failed.append(error)
        finally:
            connection.close()

    workers = [threading.Thread(target=worker) for _ in range(4)]
    for one in workers:
        one.start()
    for one in workers:
        one.join(WAITS_S)

    assert failed == []
    assert sorted(times) == sorted(job for _client, job in crowd) and set(times.values()) == {1}
    assert max(most.values()) <= 2


def _next(wakes: Iterator[tuple[int, int]], lock: threading.Lock) -> tuple[int, int] | None:
    with lock:
        return next(wakes, None)


def test_the_ticker_sends_the_first_of_every_client_before_the_second_of_any() -> None:
    from pipelines.ticker import by_turns

    assert by_turns([(1, 10), (1, 11), (1, 12), (2, 20), (3, 30), (2, 21)]) == [
        (1, 10),
        (2, 20),
        (3, 30),
        (1, 11),
        (2, 21),
        (1, 12),
    ]


def test_a_waiting_run_is_told_who_is_before_it_and_when_it_begins(db: None, agency: Agency, clock: Clock) -> None:
    first, last = factories.make_client(agency, "acorn"), factories.make_client(agency, "birch")
    has_jobs(first, 4, clock.now)
    ((_client, mine),) = has_jobs(last, 1, clock.now)
    ended = clock.now - timedelta(hours=1)
    with factories.inside(first):
        run = Run.objects.get(client=first)
        past = {"status": "succeeded", "due_at": None, "started_at": ended - timedelta(minutes=20)}
        row = _job(run, "hops:past", "cpu", ended)
        for name, value in (past | {"finished_at": ended}).items():
            setattr(row, name, value)
        row.save()
        Job.objects.filter(kind="hops:0").update(status="running", due_at=clock.now + timedelta(minutes=1))

    with factories.inside(last):
        run_id = Job.objects.get(pk=mine).run_id
        told = waiting([run_id], clock.now)[run_id]

    assert told.before == 1, "a second job of the other client comes after the first of this one"
    assert told.starts_at == clock.now + timedelta(minutes=30), "twenty minutes each, one at a time"
    assert told.ends_at == clock.now + timedelta(minutes=50)


def test_a_run_that_waits_for_nobody_costs_no_look_at_the_line(
    db: None, agency: Agency, clock: Clock, django_assert_num_queries: Any
) -> None:
    run = factories.make_run(factories.make_pipeline(factories.make_client(agency)), at="deploy", status="waiting")
    with scope.agency_scope(agency.pk), django_assert_num_queries(1):
        assert waiting([run.pk], clock.now) == {}
