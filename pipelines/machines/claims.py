"""A machine's way with a job: claim, beat, hand in or fail. Lease and fence are those of jobs: who is late is told."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db.models import Sum
from django.utils.translation import gettext as _

from pipelines.domain.transitions import JobStatus
from pipelines.engine import jobs
from pipelines.engine.jobs import JobFailed, Work
from pipelines.heavy.errands.received import forget_parts
from pipelines.machines.offers import is_trusted_with, offered
from pipelines.models import Job, JobPart
from pipelines.plan import ERRANDS
from pipelines.work.errand import Errand
from tenants import scope
from tenants.models import Machine

log = logging.getLogger(__name__)

MOST_SAID_BYTES = 4 * 2**20
MOST_NOTE = 200
# Machines are lost more often than processes of our own: a link, a spot instance, a desk that is switched off.
MACHINE_ATTEMPTS = 4


class NotYours(RuntimeError):
    """The job was taken over, cancelled or finished: what this machine has of it is nobody's."""


class Refused(ValueError):
    """What was handed in is not what was announced. Nothing was changed."""


def claim(machine: Machine, session: str, now: datetime) -> Work | None:
    """The first job that fits, under a lease, with its errand written down. In the agency's scope.

    The one that this session has already comes first: the answer to its claim was lost on the way.
    """
    mine = Job.objects.select_related("run__revision", "client").filter(machine=machine.pk, due_at__gt=now)
    for job in mine.filter(status=JobStatus.RUNNING):
        if job.errand.get("session") == session and is_trusted_with(machine, job):
            return Work(job)
    for found in offered(machine, now):
        with scope.client_scope(found.client_id, found.agency_id):
            job = jobs.claim(found.pk, now)
            if job is not None and _prepared(job, machine, session, now):
                return Work(job)
    return None


def _prepared(job: Job, machine: Machine, session: str, now: datetime) -> bool:
    """False: the errand could not even be written, and the job has failed with the reason."""
    work = Work(job)
    try:
        errand = ERRANDS[job.kind](work).as_json() | {"session": session}
    except Exception as failed:
        if not isinstance(failed, JobFailed):
            log.exception("errand of job %s", job.kind)
        permanent = bool(getattr(failed, "permanent", False))
        jobs.settle_failure(work, str(failed) or type(failed).__name__, permanent, now)
        return False
    forget_parts(job)
    job.machine, job.errand = machine.pk, errand
    mine = Job.objects.filter(pk=job.pk, version=job.version, status=JobStatus.RUNNING)
    most = max(job.max_attempts, MACHINE_ATTEMPTS)
    return bool(mine.update(machine=job.machine, errand=errand, max_attempts=most))


@contextmanager
def held(machine: Machine, job_id: int, version: int) -> Iterator[Work]:
    """The job that this machine claimed at `version`, in its client's scope. Raises `NotYours`."""
    with scope.agency_scope(machine.agency_id):
        found = Job.objects.filter(pk=job_id, machine=machine.pk).values_list("client_id", flat=True).first()
    if found is None:
        raise NotYours
    with scope.client_scope(found, machine.agency_id):
        rows = Job.objects.select_related("run__revision", "client")
        job = rows.filter(pk=job_id, machine=machine.pk, version=version, status=JobStatus.RUNNING).first()
        if job is None or not is_trusted_with(machine, job):
            raise NotYours
        yield Work(job, progress=job.progress)


def beat(work: Work, share: float, note: str, numbers: dict[str, Any], now: datetime) -> bool:
    """Renews the lease and shows the progress. False: stop."""
    work.report(min(max(share, 0.0), 1.0), note[:MOST_NOTE], **_plain(numbers))
    jobs.renew(work, now)
    return not work.cancelled()


def _plain(numbers: dict[str, Any]) -> dict[str, Any]:
    """A few numbers and short words for the page; whatever else is sent is left out."""
    kept = {str(name)[:40]: value for name, value in list(numbers.items())[:20]}
    return {
        name: value[:100] if isinstance(value, str) else value
        for name, value in kept.items()
        if isinstance(value, str | int | float)
    }


def hand_in(work: Work, machine: Machine, said: dict[str, Any], outputs: dict[str, Any], now: datetime) -> None:
    """The machine is through. Raises `Refused` while a file is not here whole, and `NotYours`."""
    errand = Errand.parse(work.job.errand)
    if {step.kind for step in errand.steps} != set(said):
        raise Refused(_("Say what every step answered, and no other."))
    if len(json.dumps(said)) > MOST_SAID_BYTES:
        raise Refused(_("The steps say more than %(n)s bytes.") % {"n": MOST_SAID_BYTES})
    if set(outputs) - set(errand.outputs):
        raise Refused(_("Hand in what was asked for: %(names)s.") % {"names": ", ".join(errand.outputs)})
    for name, told in outputs.items():
        here = _here(work.job, name)
        if here != told.get("size"):
            words = {"name": name, "here": here, "size": told.get("size")}
            raise Refused(_("Of %(name)s %(here)s of %(size)s bytes are here.") % words)
    who = {"machine": machine.name, "machine_id": machine.pk}
    handed = who | {"version": work.job.version, "said": said, "outputs": outputs}
    if not jobs.hand_in(work, handed, now):
        raise NotYours


def _here(job: Job, name: str) -> int:
    parts = JobPart.objects.filter(job=job, version=job.version, name=name)
    return int(parts.aggregate(total=Sum("size_bytes"))["total"] or 0)


def fail(work: Work, error: str, permanent: bool, log_tail: str, now: datetime) -> None:
    jobs.settle_failure(work, error[:2000] or "failed without a word", permanent, now, log_tail[-8000:])


def room_left(job: Job) -> int:
    """Bytes that may still be handed in for it."""
    total = JobPart.objects.filter(job=job).aggregate(total=Sum("size_bytes"))["total"] or 0
    return int(settings.CHILD_FILE_BYTES - total)
