"""Jobs: heavy work under a lease. Claimed, kept alive by heartbeats, settled; taken over when their worker is gone."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import DatabaseError, transaction
from django.db.models import Q

from pipelines.artifacts import scratch_of
from pipelines.domain.transitions import JobStatus, check_move
from pipelines.engine import dispatch
from pipelines.engine.doing import doing
from pipelines.engine.heartbeat import beating
from pipelines.engine.kernel import Clock, poke
from pipelines.models import Job, Run, Turn
from pipelines.models.job import MAX_ATTEMPTS
from pipelines.work.child import log_tail

log = logging.getLogger(__name__)

# A host may be down for some minutes: pushes are tried more often than work that fails for reasons of its own.
ATTEMPTS = {"push": 6}
# What a client may be bounded in: what goes to hosts, a rollback first of all, waits for nobody.
HEAVY = frozenset({"cpu", "gpu"})
LONGEST_PAUSE_S = 300
# What goes on elsewhere goes on whoever looks at it here: so many workers may be lost in a row while they look.
LOOKS = 10


class JobFailed(RuntimeError):
    """A job could not do its work. The message says what to do; `permanent` means that a second try cannot help.

    `is_final`: a second try may help, but only a person may order it.
    """

    def __init__(self, message: str, *, permanent: bool = False, is_final: bool = False, log_tail: str = "") -> None:
        super().__init__(message)
        self.permanent, self.is_final = permanent, is_final
        self.log_tail = log_tail


class JobGoesOn(RuntimeError):
    """What the job waits for is under way elsewhere: it gives its worker back and is asked again in `after_s`.

    `error`: nobody answered there. So many such looks in a row stand in the job's spec, as `unanswered`.
    """

    def __init__(self, after_s: float, error: str = "") -> None:
        super().__init__(f"asked again in {after_s:g} s")
        self.after_s, self.error = after_s, error


@dataclass
class Work:
    """One claimed attempt at a job: what its handler reports to, and where it learns that it must stop.

    `afterwards`: what the attempt leaves behind is removed when its result is committed, and by nobody else.
    """

    job: Job
    progress: dict[str, Any] = field(default_factory=dict)
    is_lost: threading.Event = field(default_factory=threading.Event)
    afterwards: list[Callable[[], None]] = field(default_factory=list)

    def report(self, share: float, note: str = "", **numbers: Any) -> None:
        """`share` of the work done, 0..1."""
        self.progress = {"progress": round(share, 4), "note": note, "numbers": numbers}

    def cancelled(self) -> bool:
        return self.is_lost.is_set()


Handler = Callable[[Work], dict[str, Any]]


def ensure_job(run: Run, kind: str, queue: str, spec: dict[str, Any], now: datetime) -> Job:
    """The job of this (run, stage, kind): made and sent off the first time, found afterwards."""
    found = Job.objects.filter(run=run, stage=run.stage, kind=kind).first()
    if found is not None:
        return found
    with transaction.atomic():
        fields = {"queue": queue, "spec": spec, "max_attempts": ATTEMPTS.get(queue, MAX_ATTEMPTS)}
        job = Job.of(run, run=run, stage=run.stage, kind=kind, created_at=now, due_at=now, **fields)
        job.save()
        dispatch.work_job(job.client_id, job.pk, queue)
    return job


def work_on(job_id: int, handlers: dict[str, Handler], clock: Clock) -> bool:
    """One attempt at one job. False when there was nothing to claim."""
    job = claim(job_id, clock())
    if job is None:
        return False
    with doing(f"job {job.kind}", story=f"run {job.run_id}", run=job.run_id, job=job.pk):
        _try(Work(job), handlers, clock)
    return True


def _try(work: Work, handlers: dict[str, Handler], clock: Clock) -> None:
    job = work.job
    try:
        with heartbeat(work, clock):
            result = handlers[job.kind.partition(":")[0]](work)
    except JobGoesOn as under_way:
        _put_off(work, under_way, clock())
    except JobFailed as error:
        if error.is_final:
            settle(work, JobStatus.FAILED, clock(), error=str(error), log_tail=error.log_tail)
        else:
            settle_failure(work, str(error), error.permanent, clock(), error.log_tail)
    except Exception as error:
        log.exception("job %s", job.kind)
        permanent = bool(getattr(error, "permanent", False))
        settle_failure(work, str(error) or type(error).__name__, permanent, clock())
    else:
        if settle(work, JobStatus.SUCCEEDED, clock(), result=result, error=""):
            _clean_up(work)


def _clean_up(work: Work) -> None:
    """What cannot be removed now is left to the daily sweeps: the result stands."""
    try:
        for remove in work.afterwards:
            remove()
    except (OSError, DatabaseError):
        log.exception("job %s is done, and what it leaves behind stays for a day", work.job.kind)


def _put_off(work: Work, under_way: JobGoesOn, now: datetime) -> None:
    """Uses up no attempt and forgets those before it: the training of a day is asked about a thousand times."""
    job = work.job
    missed = job.spec.get("unanswered", 0) + 1 if under_way.error else 0
    more = {"attempts": 0, "spec": job.spec | {"unanswered": missed}}
    due_at = now + timedelta(seconds=under_way.after_s)
    settle(work, JobStatus.QUEUED, now, error=under_way.error, due_at=due_at, **more)


def claim(job_id: int, now: datetime) -> Job | None:
    """Takes a job that is due; one whose lease ran out is taken over, and its lost attempt counts."""
    job = Job.objects.select_related("run").filter(pk=job_id, due_at__lte=now).first()
    if job is None:
        return None
    if job.attempts >= _most_lost(job):
        error = job.error or "its worker was lost on every attempt"
        settle(Work(job), JobStatus.FAILED, now, error=error, log_tail=job.log_tail or _last_words(job))
        return None
    with transaction.atomic():
        turn = _turn_of(job, now)
        if turn is None or not _take(job, now):
            return None
        Turn.objects.filter(pk=turn.pk).update(served_at=max(turn.served_at, now))
    return job


def _most_lost(job: Job) -> int:
    """Attempts after which nobody takes it up again. What it failed at by itself is bounded in `settle_failure`."""
    return max(job.max_attempts, LOOKS) if "unanswered" in job.spec else job.max_attempts


def _turn_of(job: Job, now: datetime) -> Turn | None:
    """Held until the claim is through. None: as many jobs of its client run in this queue as may."""
    mine: dict[str, Any] = {"client_id": job.client_id, "queue": job.queue}
    held = Turn.objects.select_for_update().filter(**mine)
    turn: Turn | None = held.first()
    if turn is None:
        Turn.objects.get_or_create(**mine, defaults={"agency_id": job.agency_id, "served_at": now})
        turn = held.get()
    most = most_running(job.queue)
    running = Job.objects.filter(**mine, status=JobStatus.RUNNING, due_at__gt=now).exclude(pk=job.pk)
    return None if most and running.count() >= most else turn


def most_running(queue: str) -> int:
    """How many jobs of one client may run at a time in a queue; 0: as many as there are workers."""
    return int(settings.JOBS_PER_CLIENT) if queue in HEAVY else 0


def _take(job: Job, now: datetime) -> bool:
    lease = now + timedelta(seconds=settings.JOB_LEASE_S)
    fields: dict[str, Any] = {"status": JobStatus.RUNNING, "version": job.version + 1}
    # Whoever had it before: it is this worker's now, or that of the machine that is written down next.
    fields |= {"heartbeat_at": now, "started_at": job.started_at or now, "machine": None}
    fields |= {"attempts": job.attempts + 1, "due_at": lease}
    if not _fenced(job).update(**fields):
        return False
    for name, value in fields.items():
        setattr(job, name, value)
    return True


def _last_words(job: Job) -> str:
    """The end of what its children log, where the scratch folder is in reach."""
    logs = sorted(scratch_of(job.pk).glob("*.log"), key=lambda path: path.stat().st_mtime)
    return log_tail(logs[-1]) if logs else ""


def _fenced(job: Job) -> Any:
    return Job.objects.filter(pk=job.pk, client_id=job.client_id, version=job.version, status=job.status)


def heartbeat(work: Work, clock: Clock) -> AbstractContextManager[None]:
    """Renews the lease and stores the progress; tells the work when the job is no longer its own."""
    pause = min(1.0, settings.JOB_LEASE_S / 4)
    return beating(f"job {work.job.pk}", pause, lambda: renew(work, clock()))


def renew(work: Work, now: datetime) -> None:
    lease = now + timedelta(seconds=settings.JOB_LEASE_S)
    said: dict[str, Any] = {"progress": work.progress}
    if work.job.machine is None:  # A machine's children log where no process here can read.
        said["log_tail"] = _last_words(work.job)
    if not _fenced(work.job).update(due_at=lease, heartbeat_at=now, **said):
        work.is_lost.set()


def settle_failure(work: Work, error: str, permanent: bool, now: datetime, log_tail: str = "") -> None:
    """Again after a pause while attempts are left, else failed for good."""
    if permanent or work.job.attempts >= work.job.max_attempts:
        settle(work, JobStatus.FAILED, now, error=error, log_tail=log_tail, is_permanent=permanent)
        return
    pause = timedelta(seconds=growing_pause_s(settings.RETRY_BASE_S, work.job.attempts - 1))
    settle(work, JobStatus.QUEUED, now, error=error, log_tail=log_tail, due_at=now + pause)


def growing_pause_s(first_s: float, again: int) -> float:
    """Doubled each time, up to five minutes."""
    return float(max(first_s, min(LONGEST_PAUSE_S, first_s * 2 ** min(again, 30))))


def hand_in(work: Work, handed: dict[str, Any], now: datetime) -> bool:
    """A machine has done its part: the job waits for a worker of ours, with attempts of its own. False: too late."""
    more = {"handed": handed, "due_at": now, "error": "", "max_attempts": work.job.attempts + MAX_ATTEMPTS}
    if not settle(work, JobStatus.QUEUED, now, **more):
        return False
    dispatch.work_job(work.job.client_id, work.job.pk, work.job.queue)
    return True


def start_over(work: Work) -> bool:
    """Once this attempt has failed the job is anybody's again, with attempts of its own: what a machine handed in is
    not here any more, or not counted. False: the job is not this worker's any more, and nothing was changed.
    """
    work.job.handed, work.job.max_attempts = {}, work.job.attempts + MAX_ATTEMPTS
    return bool(_fenced(work.job).update(handed={}, max_attempts=work.job.max_attempts))


@transaction.atomic
def settle(work: Work, to: JobStatus, now: datetime, **changes: Any) -> bool:
    """False: the job is not this worker's any more, and nothing was changed."""
    job = work.job
    if job.status != to:
        check_move(JobStatus(job.status), to)
    changes |= {"status": to, "version": job.version + 1, "progress": work.progress or job.progress}
    if to != JobStatus.QUEUED:
        changes |= {"finished_at": now, "due_at": None}
    if not _fenced(job).update(**changes):
        return False
    if to != JobStatus.QUEUED:
        poke(job.client_id, job.run_id, now)
    return True


def cancel_jobs(run: Run, now: datetime, spared: Q | None = None) -> None:
    """Ends what still works for the run; a worker in the middle of it learns so at its next heartbeat."""
    live = Job.objects.filter(run=run, status__in=(JobStatus.QUEUED, JobStatus.RUNNING))
    live.exclude(spared or Q(pk=None)).update(status=JobStatus.CANCELLED, due_at=None, finished_at=now)
