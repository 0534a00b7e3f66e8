"""What a machine handed in: joined from its parts, hashed again, and taken as a bundle from outside is."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings
from django.utils.translation import gettext as _

from pipelines.artifacts import digest_of, parts_of, scratch_of
from pipelines.bundles import BundleRefused, Limits, take
from pipelines.domain.machines import TRUSTED_ONLY
from pipelines.engine.jobs import JobFailed
from pipelines.models import Job, JobPart
from pipelines.trainers.marker import write_marker
from pipelines.work.errand import Done, Errand
from tenants import scope
from tenants.models import Machine


class PartsGone(JobFailed):
    """What was handed in is not here any more: no archive of the installation holds it. It has to be made again."""


class MakerDistrusted(JobFailed):
    """Its machine was trusted when it was handed in, and is not any more: nobody can check such a result."""


def received(job: Job, errand: Errand) -> Done:
    """As if the steps had been done here. A fault is final: the machine that sent such a thing wants a look first.

    Raises PartsGone where it is not here: that is no fault of the machine's. And MakerDistrusted.
    """
    _refuse_distrusted(job)
    out = scratch_of(job.pk) / "handed"
    out.mkdir(parents=True, exist_ok=True)
    for name, told in job.handed["outputs"].items():
        kind = errand.outputs.get(name)
        if kind is None:
            raise _refused(job, _("%(name)s was not asked for") % {"name": name})
        whole = _joined(job, name, told, out / f"{name}.part")
        if kind == "file":
            whole.replace(out / name)
        else:
            _unpack(job, whole, out / name)
            whole.unlink()
    return Done(job.handed["said"], out)


def _refuse_distrusted(job: Job) -> None:
    machine = job.handed.get("machine_id")
    if machine is None or job.kind not in TRUSTED_ONLY:
        return
    with scope.agency_scope(job.agency_id):  # Machines are the agency's: a client's scope cannot read them.
        if Machine.objects.filter(pk=machine, is_trusted=True).exists():
            return
    words = {"machine": job.handed["machine"]}
    raise MakerDistrusted(_("Machine %(machine)s is not trusted any more: what it handed in is made again.") % words)


def forget_parts(job: Job) -> None:
    """The pieces of every attempt, when the job is over or nobody waits for them."""
    if JobPart.objects.filter(job=job).exists():
        parts_of(job.client_id, job.pk).clear()
        JobPart.objects.filter(job=job).delete()


def _refused(job: Job, why: str) -> JobFailed:
    words = {"machine": job.handed.get("machine", "?"), "why": why}
    return JobFailed(
        _("What machine %(machine)s handed in was refused: %(why)s. Look at that machine.") % words, permanent=True
    )


def _joined(job: Job, name: str, told: dict[str, object], path: Path) -> Path:
    store = parts_of(job.client_id, job.pk)
    rows = list(JobPart.objects.filter(job=job, version=job.handed["version"], name=name).order_by("offset"))
    gone = PartsGone(_("%(name)s was handed in whole and is not here any more: it is made again.") % {"name": name})
    if not store.has_all(part.digest for part in rows):
        raise gone
    with path.open("wb") as out:
        for part in rows:
            out.write(store.path(part.digest).read_bytes())
    if digest_of(path) != told.get("digest"):
        if not rows:
            raise gone
        raise _refused(job, _("%(name)s is not the file that it announced") % {"name": name})
    return path


def _unpack(job: Job, whole: Path, folder: Path) -> None:
    """As a bundle from outside; the marker says that it was whole, in place of the one that the machine wrote."""
    try:
        bundle = take(whole, folder, Limits(settings.CHILD_FILE_BYTES))
    except BundleRefused as refused:
        raise _refused(job, str(refused)) from refused
    if bundle.kind != "adapter":
        raise _refused(job, _("it is no adapter"))
    write_marker(folder, {"handed_in_by": job.handed["machine"]})
