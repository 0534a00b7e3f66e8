"""What staff see of their machines: state, what each has, the job in hand, and jobs that nobody comes for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext as _

from pipelines.domain.machines import lacking
from pipelines.domain.transitions import LIVE_JOBS, JobStatus
from pipelines.machines.offers import has_of, may_leave, needs_of
from pipelines.models import Job
from pipelines.plan import ERRANDS
from tenants import crossing, scope
from tenants.models import Machine

GIB = 2**30


@dataclass(frozen=True)
class Line:
    """`state`: a word of the product's statuses; `job`: what it works on now."""

    machine: Machine
    state: str
    has: str
    job: Job | None

    @property
    def program(self) -> str:
        """The digest of the file it runs from; empty where it runs from none."""
        return str(self.machine.abilities.get("program", ""))[:64]

    @property
    def percent(self) -> int:
        return round(100 * float(self.job.progress.get("progress", 0))) if self.job else 0


@dataclass(frozen=True)
class Waiting:
    """A job that machines are waited for; `why` says which of them could take it."""

    job: Job
    why: str


def lines(now: datetime) -> list[Line]:
    """Every machine that is not revoked, in the agency's scope."""
    related = ("run__pipeline", "client")
    at_work = Job.objects.filter(machine__isnull=False, status=JobStatus.RUNNING, due_at__gt=now)
    jobs = {job.machine: job for job in at_work.select_related(*related)}
    rows = Machine.objects.filter(revoked_at=None)
    return [Line(row, state_of(row, now), _has(row), jobs.get(row.pk)) for row in rows]


def state_of(machine: Machine, now: datetime) -> str:
    if machine.paused_at is not None:
        return "paused"
    if machine.last_seen_at is None:
        return "unknown"
    return "silent" if machine.is_silent(now) else "answers"


def _has(machine: Machine) -> str:
    said, has = machine.abilities, has_of(machine)
    if not said:
        return ""
    parts = [_("%(n)s cores") % {"n": has.cores}, f"{has.memory_bytes / GIB:.0f} GB"]
    gpus = ", ".join(str(name)[:60] for name in said.get("gpus", [])[:8]) if has.gpus else _("no GPU")
    versions = [f"{name} {str(said[name])[:30]}" for name in ("torch", "cuda") if said.get(name)]
    return " · ".join([*parts, gpus, *versions])


def waiting(now: datetime) -> Iterator[Waiting]:
    """Jobs that are due and left to machines. In the agency's scope."""
    machines = list(Machine.objects.filter(revoked_at=None, paused_at=None))
    due = Job.objects.filter(status__in=LIVE_JOBS, due_at__lte=now, kind__in=ERRANDS)
    for job in due.select_related("run__revision", "run__pipeline", "client")[:100]:
        fitting = [row for row in machines if may_leave(job) and not lacking(needs_of(job), has_of(row))]
        if fitting:
            yield Waiting(job, _("for %(names)s") % {"names": ", ".join(row.name for row in fitting)})
        elif may_leave(job) and needs_of(job).gpu:
            yield Waiting(job, _("for a GPU: no machine that works has one"))


def silent(now: datetime) -> list[str]:
    """Machines that should work and have not been heard of, over all agencies: for the installation's doctor."""
    found = []
    for agency_id in sorted({row[0] for row in crossing.ask("all_clients")}):
        with scope.agency_scope(agency_id):
            rows = Machine.objects.filter(revoked_at=None, paused_at=None, last_seen_at__isnull=False)
            found += [row.name for row in rows if row.is_silent(now)]
    return found
