"""Whose job a worker takes: of all that wait in a queue, that of the client who was served longest ago."""

from __future__ import annotations

from datetime import datetime, timedelta

from pipelines.engine import jobs
from pipelines.engine.kernel import Clock
from pipelines.machines import offers
from pipelines.models import Job
from pipelines.plan import JOBS
from tenants import crossing
from tenants.scope import client_scope

# Other workers take from the head of the same line: who is too late goes on behind it.
LOOKED_AT = 20


def work(client_id: int, job_id: int, clock: Clock) -> bool:
    """One attempt at one job of the queue in which the named one waits. False: there was nothing to claim.

    A wake-up says that a queue has work, not which: otherwise who asks first for fifty jobs has fifty turns. There is a
    wake-up for each job, so each is worked on; the named one is last in line for what the others leave.
    """
    with client_scope(client_id):
        queue = Job.objects.filter(pk=job_id).values_list("queue", flat=True).first()
    if queue is None:
        return False
    return any(_try(whose, found, clock) for whose, found in [*line(queue, clock), (client_id, job_id)])


def line(queue: str, clock: Clock) -> list[tuple[int, int]]:
    """(client, job) of the queue's next jobs, the first of which a free worker takes."""
    asked = {"now": clock(), "queue": queue, "most": jobs.most_running(queue), "limit": LOOKED_AT}
    return [(row[0], row[1]) for row in crossing.ask("jobs_in_turn", **asked)]


def is_forsaken(queue: str, wait: timedelta, now: datetime) -> bool:
    """Whether a job has been due for so long, and no worker of ours took one of its queue: then none is there.

    A long line before busy workers is no such thing; nor is what waits for a machine, or for its client's other jobs.
    """
    since = now - wait
    if crossing.ask("worked_since", since=since, queue=queue)[0][0]:
        return False
    return any(_waits_for_us(whose, found, since) for whose, found in line(queue, lambda: now))


def _waits_for_us(client_id: int, job_id: int, since: datetime) -> bool:
    with client_scope(client_id):
        job = Job.objects.select_related("run__revision").filter(pk=job_id, due_at__lte=since).first()
        return job is not None and not (offers.may_leave(job) and _may_wait(job))


def _may_wait(job: Job) -> bool:
    """For a machine; or for a GPU, which one agency may lack or pause while every worker is well."""
    return offers.has_machine(job) or offers.needs_of(job).gpu


def _try(client_id: int, job_id: int, clock: Clock) -> bool:
    with client_scope(client_id):
        return not offers.is_theirs(job_id) and jobs.work_on(job_id, JOBS, clock)
