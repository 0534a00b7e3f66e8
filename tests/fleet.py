"""A fleet that is played on a virtual clock: real triggers, engine, queues and database; jobs that only take time.

A worker here claims by the line of its queue, as every worker does, and settles when its job's time is over.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from typing import Any
from unittest import mock

from django.conf import settings

from pipelines import ticker, triggers
from pipelines.domain.transitions import JobStatus
from pipelines.engine import dispatch, jobs, kernel
from pipelines.engine.jobs import Work, ensure_job
from pipelines.engine.outcome import Done, Given, Outcome, Plan, Stage, Stop
from pipelines.engine.waiting import waiting_for
from pipelines.machines import turns
from pipelines.models import Job, PipelineState, Run, TriggerDecision
from pipelines.reports.foresight.waiting import waiting
from pipelines.shipping.ending import on_rest
from pipelines.stages import trigger
from tenants.models import Pipeline
from tenants.scope import agency_scope, client_scope
from tests import factories

STAGES = ("trigger", "finetune", "evaluate", "compare", "deploy")  # A verdict ends each run before the last.
STEP = timedelta(seconds=30)
# Longer than any job: whoever is killed loses it, and nobody else does.
LEASE = timedelta(hours=2)
LONGEST_MIN = 45.0
JOBS = {"finetune": ("train", "gpu"), "evaluate": ("evaluate", "cpu")}
QUIET = timedelta(days=20)
ASKED_EACH = 5  # Of so many waiting runs one is asked when it expects to begin.


def _one_job(run: Run, given: Given, now: datetime) -> Outcome:
    kind, queue = JOBS[run.stage]
    return waiting_for(ensure_job(run, kind, queue, {}, now), now) or Done({})


def _verdict(run: Run, given: Given, now: datetime) -> Outcome:
    return Stop("rejected", "as good as production: nothing changes")


PLAN = Plan(
    stages=(
        Stage("trigger", trigger.run),
        Stage("finetune", _one_job),
        Stage("evaluate", _one_job),
        Stage("compare", _verdict),
    ),
    on_rest=on_rest,
)
# One job, and a verdict on it.
SHORT = Plan((Stage("trigger", trigger.run), Stage("finetune", _one_job), Stage("evaluate", _verdict)), on_rest)


@dataclass
class Fleet:
    """`workers` of each queue. `killed_share`: of first attempts, whose worker dies and says nothing.

    `step`: what happens within one is done at its end.
    """

    pipelines: list[Pipeline]
    now: datetime
    workers: dict[str, int]
    killed_share: float = 0.0
    seed: int = 7
    plan: Plan = PLAN
    step: timedelta = STEP
    waits_s: list[float] = field(default_factory=list)
    by_client: dict[int, list[float]] = field(default_factory=dict)
    landed: Counter[tuple[int, str]] = field(default_factory=Counter)
    off_s: list[float] = field(default_factory=list)
    looks: int = 0
    advances: int = 0

    def __post_init__(self) -> None:
        self.agencies = sorted({pipeline.agency_id for pipeline in self.pipelines})
        self.random = random.Random(self.seed)
        self.ticker = ticker.Ticker()
        self.ends: list[tuple[datetime, int, Job]] = []
        self.calls: deque[tuple[str, int, int]] = deque()
        self.lost: dict[str, list[datetime]] = {queue: [] for queue in self.workers}
        self.serials, self.ticks = count(), count(1)
        self.expected: dict[int, datetime] = {}

    def send(self, task: str, queue: str, client_id: int, row_id: int) -> None:
        """The broker. A job's wake-up is not kept: whenever a worker is free, it asks for the line."""
        if task in ("wake_run", "look_at_triggers"):
            self.calls.append((task, client_id, row_id))

    def clock(self) -> datetime:
        """No two looks at it say the same, as with a clock on a wall."""
        return self.now + timedelta(microseconds=next(self.ticks))

    def play(
        self,
        until: datetime,
        tickerless: tuple[tuple[datetime, datetime], ...] = (),
        dies: int = 0,
        rests: bool = False,
    ) -> None:
        """`tickerless`: while nobody ticks. `dies`: after so many ticks a ticker is killed and another begins.

        `rests`: not further than to where nothing is left but looks at triggers weeks later.
        """
        ticked = 0
        while self.now < until:
            if not any(begin <= self.now < end for begin, end in tickerless):
                ticked += 1
                if dies and ticked % dies == 0:
                    self.ticker = ticker.Ticker()
                while self.ticker.tick(self.now):
                    self._serve()
            self._work()
            back = [end for _begin, end in tickerless if end > self.now]
            then = max(self.now + self.step, min([self._next(), until, *back]))
            if rests and then - self.now > QUIET:
                return
            self.now = then

    def _next(self) -> datetime:
        """When anything can happen again: a job ends, a row falls due."""
        found = [self.ends[0][0]] if self.ends else []
        for agency_id in self.agencies:
            with agency_scope(agency_id):
                for model in (PipelineState, Run, Job):
                    later = model.objects.filter(agency_id=agency_id, due_at__gt=self.now).order_by("due_at")
                    found += later.values_list("due_at", flat=True)[:1]
        return min(found, default=self.now + timedelta(days=1))

    def _serve(self) -> None:
        while self.calls:
            task, client_id, row_id = self.calls.popleft()
            with client_scope(client_id):
                if task == "wake_run":
                    self.advances += kernel.advance(row_id, self.plan, self.clock)
                else:
                    self.looks += 1
                    ticker.look_at_triggers(row_id, self.clock())

    def _work(self) -> None:
        """What is over is settled at its own time; then free workers take from the line, until nothing comes of it."""
        over: list[Job] = []
        while self.ends and self.ends[0][0] <= self.now:
            over.append(heapq.heappop(self.ends)[2])
        for job in self._settle(over):
            self.landed[job.run_id, job.kind] += 1
        self._serve()
        for queue, most in self.workers.items():
            self.lost[queue] = [at for at in self.lost[queue] if at > self.now]
            busy = sum(1 for _at, _serial, job in self.ends if job.queue == queue) + len(self.lost[queue])
            self._take(queue, most - busy)
        self._serve()

    def _take(self, queue: str, free: int) -> None:
        """What free workers do: each asks for the line and claims its first. One line serves as many as are free."""
        while free and (line := turns.line(queue, self.clock)):
            for job in self._claim(line[:free]):
                self._begin(job)
                free -= 1
        if not free:
            self._ask(turns.line(queue, self.clock))

    def _settle(self, over: list[Job]) -> list[Job]:
        """Those that were still their worker's."""
        return [job for job in over if self._settled(job)]

    def _settled(self, job: Job) -> bool:
        with client_scope(job.client_id):
            return jobs.settle(Work(job), JobStatus.SUCCEEDED, self.clock(), result={}, error="")

    def _claim(self, line: list[tuple[int, int]]) -> list[Job]:
        """Those that nobody else has."""
        return [job for client_id, job_id in line if (job := self._claimed(client_id, job_id))]

    def _claimed(self, client_id: int, job_id: int) -> Job | None:
        with client_scope(client_id):
            return jobs.claim(job_id, self.clock())

    def _begin(self, job: Job) -> None:
        if job.attempts == 1:
            waited = max(0.0, (self.now - job.created_at).total_seconds())
            self.waits_s.append(waited)
            self.by_client.setdefault(job.client_id, []).append(waited)
            told = self.expected.pop(job.pk, None)
            if told is not None:
                self.off_s.append((self.now - told).total_seconds())
        if job.attempts == 1 and self.random.random() < self.killed_share:
            self.lost[job.queue].append(self.now + LEASE)
            return
        minutes = self.random.uniform(5, LONGEST_MIN) if job.queue == "gpu" else self.random.uniform(2, 10)
        heapq.heappush(self.ends, (self.now + timedelta(minutes=minutes), next(self.serials), job))

    def _ask(self, line: list[tuple[int, int]]) -> None:
        """Now and then one that waits is asked when it expects to begin, as its page does."""
        for client_id, job_id in line:
            if job_id % ASKED_EACH or job_id in self.expected:
                continue
            with client_scope(client_id):
                run_id = Job.objects.get(pk=job_id).run_id
                told = waiting([run_id], self.clock()).get(run_id)
            if told is not None and told.starts_at is not None:
                self.expected[job_id] = told.starts_at


@contextmanager
def played(fleet: Fleet) -> Iterator[Fleet]:
    """The fleet is the broker, leases are as long as its jobs, and looks that find nothing are left out."""
    with ExitStack() as stack:
        asked = {name: ticker.SENDERS[name] for name in ("due_runs", "due_triggers")}
        changes = [(dispatch, "send", fleet.send), (settings, "JOB_LEASE_S", LEASE.total_seconds())]
        changes += [(triggers, "LOOK_AGAIN", timedelta(days=400)), (ticker, "SENDERS", asked)]
        for where, name, value in changes:
            stack.enter_context(mock.patch.object(where, name, value))
        fleet.ticker = ticker.Ticker()
        yield fleet


def occasions(pipeline: Pipeline) -> Counter[datetime]:
    """Due times that led to a run, by how many runs each led to."""
    with factories.inside(pipeline):
        rows = TriggerDecision.objects.filter(pipeline=pipeline, started=True).values_list("occasion", "run")
        return Counter(datetime.fromisoformat(str(occasion).partition(":")[2]) for occasion, run in rows if run)


def body(rule: str, at: str) -> dict[str, Any]:
    """Settings of a pipeline that only its schedule starts, and that mails nobody."""
    only = {"new_examples": None, "quality_below": None, "schedule": {"rule": rule, "at": at}}
    return {"stages": STAGES, "triggers": only, "recipients": []}
