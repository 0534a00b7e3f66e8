"""Workers that die by kill -9 at named points, each point once: the rows and effects of that moment are really there.

A point is `word:name`. A row whose worker was lost already is spared, so that no row dies twice in a row.

    claimed, settling    a stage: its run was claimed; it answered, and nothing of the answer is written
    amid                 a stage has written and not committed (outside a transaction: has just written);
                         one that writes nothing dies with its answer in hand
    stopping             a stage answered that the run ends so (rolled_back, rejected ...)
    flipped              canary, promotion, rollback: the route is written and not committed
    job-claimed, job-settling
    job-half             a file lies whole under its temporary name; a host has the bytes but no name for them
    job-amid             an effect has landed in the store or on a host, and the job has not ended
    notice-claimed, notice-sent    before and after the mail was handed over
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper

from pipelines.artifacts import Store
from pipelines.engine import jobs, kernel
from pipelines.engine.outcome import Done, Given, Outcome, Plan, Stage, Stop
from pipelines.hosts.fake import FakeHost
from pipelines.models import Job, Notice, Run
from pipelines.notifiers.email import EmailNotifier
from pipelines.outbox import mails
from pipelines.plan import JOBS
from pipelines.shipping import route

WRITES = ("INSERT", "UPDATE", "DELETE")
RESEND_AFTER = timedelta(seconds=1)  # In the place of minutes, when a sender is killed.
Call = Callable[..., Any]


class Doing(threading.local):
    """What this thread is in the middle of. Heartbeats have threads of their own, in the middle of nothing."""

    stage = ""
    job = ""
    notice = ""
    has_written = False
    is_spared = False


doing = Doing()
armed: set[str] = set()


def arm(points: str) -> None:
    """`points`, divided by commas, are to be died at in this process and in those that it forks."""
    armed.update(points.split(","))
    kernel.claim = _noted(Run, kernel.claim, _run_is_claimed)
    jobs.claim = _noted(Job, jobs.claim, _job_is_claimed)
    before(kernel, "settle", _settling)
    before(jobs, "settle", lambda work, *_: die_at("job-settling", _kind(work.job)))
    before(BaseDatabaseWrapper, "commit", _committing)
    after(Plan, "stage", _dying)
    after(route, "_write", _flipped)
    after(os, "fsync", lambda *_: die_at("job-half", doing.job))
    after(FakeHost, "push_blob", lambda *_: die_at("job-half", doing.job))
    for owner, attribute in ((Store, "_put"), (FakeHost, "create"), (FakeHost, "copy")):
        after(owner, attribute, lambda *_: die_at("job-amid", doing.job))
    for kind, handler in JOBS.items():
        JOBS[kind] = _working(kind, handler)
    if any(point.startswith("notice") for point in armed):
        arm_mails()


def arm_mails() -> None:
    mails.BACKOFF = (RESEND_AFTER,)
    after(mails, "_claim", _notice_is_claimed)
    after(EmailNotifier, "send", lambda *_: die_at("notice-sent", doing.notice))


def die_at(word: str, name: str) -> None:
    """kill -9 of this process, the first time that any process of this installation comes here."""
    point = f"{word}:{name}"
    if point not in armed or doing.is_spared:
        return
    marks = Path(settings.VAR) / "killed"
    marks.mkdir(exist_ok=True)
    try:
        (marks / point).touch(exist_ok=False)
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGKILL)


def before(owner: Any, attribute: str, look: Call) -> None:
    original = getattr(owner, attribute)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        look(*args)
        return original(*args, **kwargs)

    setattr(owner, attribute, wrapped)


def after(owner: Any, attribute: str, look: Call) -> None:
    """`look` gets what was returned, then the arguments; what it returns, unless None, is returned instead."""
    original = getattr(owner, attribute)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        found = original(*args, **kwargs)
        changed = look(found, *args)
        return found if changed is None else changed

    setattr(owner, attribute, wrapped)


def _noted(model: Any, claim: Call, look: Call) -> Call:
    """A claim that takes a row over leaves a line in takeovers.log: how many seconds its lease had been over."""

    def noted(row_id: int, now: datetime) -> Any:
        lost = model.objects.filter(pk=row_id, status="running", due_at__lte=now)
        lease_end = lost.values_list("due_at", flat=True).first()
        found = claim(row_id, now)
        if found is not None:
            if lease_end is not None:
                with (Path(settings.VAR) / "takeovers.log").open("a") as file:
                    file.write(f"{(now - lease_end).total_seconds():.3f}\n")
            look(found)
        return found

    return noted


def _run_is_claimed(run: Run) -> None:
    doing.is_spared = run.retries > 0
    die_at("claimed", run.stage)


def _job_is_claimed(job: Job) -> None:
    doing.is_spared = job.attempts > 1
    die_at("job-claimed", _kind(job))


def _notice_is_claimed(notice: Notice | None, *_arguments: Any) -> None:
    if notice is not None:
        doing.is_spared, doing.notice = False, notice.kind
        die_at("notice-claimed", notice.kind)


def _settling(run: Run, outcome: Outcome, *_rest: Any) -> None:
    die_at("settling", run.stage)
    if isinstance(outcome, Stop):
        die_at("stopping", outcome.verdict)


def _kind(job: Job) -> str:
    return job.kind.partition(":")[0]


def _committing(*_arguments: Any) -> None:
    if doing.stage and doing.has_written:
        die_at("amid", doing.stage)


def _see_write(execute: Call, sql: str, *rest: Any) -> Any:
    found = execute(sql, *rest)
    if sql.startswith(WRITES):
        doing.has_written = True
        if not connection.in_atomic_block:
            die_at("amid", doing.stage)
    return found


def _dying(stage: Stage, *_arguments: Any) -> Stage:
    def run(run: Run, given: Given, now: datetime) -> Outcome:
        doing.stage, doing.has_written = stage.name, False
        try:
            with connection.execute_wrapper(_see_write):
                outcome = stage.run(run, given, now)
        finally:
            doing.stage = ""
        if isinstance(outcome, Done):
            die_at("amid", stage.name)
        return outcome

    return replace(stage, run=run)


def _flipped(_route: Any, _owner: Any, fields: dict[str, Any]) -> None:
    die_at("flipped", "canary" if fields["candidate"] else "promotion" if fields["rollout"] else "rollback")


def _working(kind: str, handler: jobs.Handler) -> jobs.Handler:
    def work(work: jobs.Work) -> dict[str, Any]:
        doing.job = kind
        try:
            result = handler(work)
            die_at("job-amid", kind)
            return result
        finally:
            doing.job = ""

    return work
