"""Job retire: one version off one host: unloaded, awaited, deleted. What has become needed meanwhile stays."""

from __future__ import annotations

from contextlib import closing
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils.timezone import now as clock

from pipelines.engine import dispatch
from pipelines.engine.jobs import ATTEMPTS, JobFailed, Work
from pipelines.heavy.push import open_adapter
from pipelines.heavy.retiring.choice import expendable, needed
from pipelines.hosts import HostDown, HostRefused
from pipelines.hosts.release import retire
from pipelines.models import Job, Placement, Route

HOST_TIMEOUT_S = 60.0
QUEUE = "push"


def send_off(placement: Placement, now: datetime) -> bool:
    """Orders the retiring of a placement; False where it is ordered already, or failed for good within this day."""
    earlier = Job.objects.filter(run=placement.version.run, kind__startswith=f"retire:{placement.pk}.")
    last = earlier.order_by("-id").first()
    if last is not None and (last.finished_at is None or (now - last.finished_at).days < 1):
        return False
    fields = {"stage": "monitor", "kind": f"retire:{placement.pk}.{earlier.count()}", "queue": QUEUE}
    job = Job.of(
        placement, run=placement.version.run, created_at=now, due_at=now, max_attempts=ATTEMPTS[QUEUE], **fields
    )
    job.save()
    dispatch.work_job(job.client_id, job.pk, QUEUE)
    return True


def work(work: Work) -> dict[str, Any]:
    placement = Placement.objects.select_related("version__pipeline__revision", "host").get(
        pk=int(work.job.kind.partition(":")[2].partition(".")[0])
    )
    if not _given_up(placement):
        return {"kept": placement.model_name}
    try:
        with closing(open_adapter(placement.host, HOST_TIMEOUT_S)) as adapter:
            was_there = retire(adapter, placement.model_name, may_unload=not _shares_its_file(placement))
    except (HostDown, HostRefused) as error:
        raise JobFailed(f"{placement.host.name}: {error}", permanent=isinstance(error, HostRefused)) from error
    placement.facts |= {"retired_at": clock().isoformat()}
    placement.save(update_fields=["facts"])
    return {"retired": placement.model_name, "was_there": was_there}


@transaction.atomic
def _given_up(placement: Placement) -> bool:
    """Decided under the route's lock, as rollbacks are: from here on nobody counts on the placement.

    An attempt before this one may have decided it already, days ago: what is needed since then stays all the same.
    """
    pipeline = placement.version.pipeline
    Route.objects.select_for_update().filter(pipeline=pipeline).first()
    placement.refresh_from_db(fields=["status"])
    if placement.status == "placed" and placement in expendable(pipeline, clock()):
        placement.status = "retired"
        placement.save(update_fields=["status"])
    return placement.status == "retired" and placement.version_id not in needed(pipeline, clock())


def _shares_its_file(placement: Placement) -> bool:
    """A host runs one process per file, whatever names it has: unloading one name would unload the others."""
    beside = Placement.objects.filter(host_id=placement.host_id, status="placed").exclude(pk=placement.pk)
    return beside.filter(version__gguf_digest=placement.version.gguf_digest).exists()
