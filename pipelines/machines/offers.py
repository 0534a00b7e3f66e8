"""Which jobs a machine is offered: due ones of its agency whose errand may leave and whose needs it meets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import islice
from pathlib import Path

from django.db.models import F, OuterRef, Subquery

from pipelines.domain.machines import TRUSTED_ONLY, Has, Needs, lacking, memory_of
from pipelines.domain.transitions import LIVE_JOBS
from pipelines.heavy import build, measure, train
from pipelines.models import Job, ModelVersion, PipelineState, Run, Turn
from pipelines.plan import ERRANDS
from tenants import scope
from tenants.models import Machine

MAY_LEAVE: dict[str, Callable[[Run], bool]] = {
    "train": train.may_leave,
    "build": build.may_leave,
    "evaluate": measure.may_leave,
}
LOOKED_AT = 100
# A machine asks every few seconds: no more than so many are looked through for it.
MOST = 1_000


def has_of(machine: Machine) -> Has:
    return Has.parse(machine.queues, machine.is_trusted, machine.abilities)


def may_leave(job: Job) -> bool:
    """Whether its errand holds nothing that opens a host, and is not in our hands already."""
    return job.kind in MAY_LEAVE and not job.handed and MAY_LEAVE[job.kind](job.run)


def is_trusted_with(machine: Machine, job: Job) -> bool:
    """Asked again whenever it speaks of the job: trust may end in the middle of it."""
    return machine.is_trusted or job.kind not in TRUSTED_ONLY


def needs_of(job: Job) -> Needs:
    """What a job names as its needs; inside its client's scope."""
    wants_gpu = job.queue == "gpu" and job.run.revision.settings.recipe.needs_gpu
    memory = memory_of(job.kind, _weights(job))
    return Needs(job.queue, gpu=wants_gpu, memory_bytes=memory, trusted=job.kind in TRUSTED_ONLY)


def _weights(job: Job) -> int:
    """Bytes of the models that it loads."""
    if job.kind == "evaluate":
        made = list(ModelVersion.objects.filter(run=job.run))
        made += [s.production for s in PipelineState.objects.filter(pipeline_id=job.run.pipeline_id) if s.production]
        return sum(version.gguf_bytes for version in made)
    checked = Job.objects.filter(run=job.run, kind="preflight").first()
    return int(checked.result.get("weights_bytes", 0)) if checked else 0


def offered(machine: Machine, now: datetime) -> Iterator[Job]:
    """Due jobs that fit the machine: of the client that was served longest ago first. In the agency's scope.

    Also behind hundreds that do not fit: those for a larger machine, or for one that is trusted.
    """
    has = has_of(machine)
    fitting = (job for job in _in_turn(machine, now) if may_leave(job) and not lacking(needs_of(job), has))
    return islice(fitting, LOOKED_AT)


def _in_turn(machine: Machine, now: datetime) -> Iterator[Job]:
    """Due ones of the kinds that it may have, which no machine has handed in; read a few at a time."""
    kinds = set(ERRANDS) if machine.is_trusted else set(ERRANDS) - TRUSTED_ONLY
    rows = Job.objects.filter(due_at__lte=now, status__in=LIVE_JOBS, queue__in=machine.queues, kind__in=kinds)
    turns = Turn.objects.filter(client=OuterRef("client"), queue=OuterRef("queue"))
    rows = rows.filter(handed={}).annotate(served_at=Subquery(turns.values("served_at")))
    line = list(rows.order_by(F("served_at").asc(nulls_first=True), "due_at", "pk").values_list("pk", flat=True)[:MOST])
    for first in range(0, len(line), LOOKED_AT):
        pks = line[first : first + LOOKED_AT]
        found = Job.objects.select_related("run__revision", "client").in_bulk(pks)
        yield from (found[pk] for pk in pks if pk in found)


def is_theirs(job_id: int) -> bool:
    """Whether a job waits for a machine: one of the agency fits it; or it needs a GPU, and there is none here either.

    In the client's scope.
    """
    job = Job.objects.select_related("run__revision").filter(pk=job_id).first()
    if job is None or not may_leave(job):
        return False
    return has_machine(job) or (needs_of(job).gpu and not has_gpu_here())


def has_machine(job: Job) -> bool:
    """Whether a working machine of the agency fits it. In the client's scope."""
    needs = needs_of(job)
    with scope.agency_scope(job.agency_id):  # Machines are the agency's: a client's scope cannot read them.
        working = list(Machine.objects.filter(paused_at=None, revoked_at=None))
    return any(not lacking(needs, has_of(machine)) for machine in working)


def has_gpu_here() -> bool:
    return any(Path("/dev").glob("nvidia[0-9]*"))
