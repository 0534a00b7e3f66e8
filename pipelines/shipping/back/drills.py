"""Drills: when one is due, how one begins, and what its result means."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from pipelines import outbox
from pipelines.domain.transitions import JobStatus
from pipelines.engine import dispatch
from pipelines.models import Drill, Job, ModelVersion, Rollback, Route
from pipelines.shipping.change_control import closed_now
from pipelines.shipping.rollback import default_target, leaving, obstacle
from tenants.models import AuditEvent, Pipeline

AFTER_A_FAILURE = timedelta(days=1)
# No host takes longer to load a version than a push may take; a drill that is older has lost its worker.
STALE = timedelta(hours=2)
BY_SCHEDULE = "schedule"
RECENT = 100


class DrillRefused(ValueError):
    """No drill can begin; the sentence says why."""


@transaction.atomic
def begin(pipeline: Pipeline, ordered_by: str, now: datetime) -> Drill:
    """A drill of the rollback that would happen now, and its job. Raises `DrillRefused`."""
    route = Route.objects.select_for_update(of=("self",)).select_related("production", "candidate")
    found = route.filter(pipeline=pipeline).first()
    if found is None:
        raise DrillRefused(_("Nothing is in production yet, so there is no way back to rehearse."))
    target = default_target(found)
    why_not = obstacle(found, target)
    if target is None or why_not:
        raise DrillRefused(why_not or _("There is no earlier version to go back to."))
    _finish_lost(Drill.objects.filter(pipeline=pipeline).first(), now)
    made = _insert(found, target, ordered_by, now)
    said = {"from": made.from_version.label, "to": target.label}
    AuditEvent.append(pipeline, ordered_by, "drill", f"{pipeline.slug} to {target.label}", now, said)
    fields = {"stage": "monitor", "kind": f"drill:{made.pk}", "queue": "push", "created_at": now, "due_at": now}
    job = Job.of(target.run, run=target.run, **fields)
    job.save()
    dispatch.work_job(job.client_id, job.pk, job.queue)
    return made


def _finish_lost(last: Drill | None, now: datetime) -> None:
    """`last`: the pipeline's latest, the only one that may go on. Its job ended without a result, or was lost."""
    if last is None or last.is_passed is not None:
        return
    given_up = (JobStatus.FAILED, JobStatus.CANCELLED)
    job = Job.objects.filter(client_id=last.client_id, kind=f"drill:{last.pk}", status__in=given_up).first()
    if job is not None or last.created_at < now - STALE:
        finish(last, False, (job and job.error) or _("its worker was lost"), now)


def _insert(route: Route, target: ModelVersion, ordered_by: str, now: datetime) -> Drill:
    fields: dict[str, Any] = {"from_version": leaving(route, target), "to_version": target}
    made = Drill.of(route, pipeline_id=route.pipeline_id, ordered_by=ordered_by, created_at=now, **fields)
    try:
        with transaction.atomic():
            made.save()
    except IntegrityError:
        raise DrillRefused(_("A drill of this pipeline goes on already.")) from None
    return made


def begin_if_due(pipeline: Pipeline, now: datetime) -> Drill | None:
    """By the schedule of the pipeline's settings. A rollout goes first, and change windows hold drills too.

    One whose worker is gone ends here, whoever ordered it: nobody else would tell that it proved nothing.
    """
    last = Drill.objects.filter(pipeline=pipeline).first()
    _finish_lost(last, now)
    days = pipeline.settings.drills.every_days if pipeline.revision else None
    if days is None or pipeline.is_paused or not _is_due(pipeline, last, timedelta(days=days), now):
        return None
    if closed_now(pipeline, now) is not None:
        return None
    try:
        return begin(pipeline, BY_SCHEDULE, now)
    except DrillRefused:
        return None


def _is_due(pipeline: Pipeline, last: Drill | None, every: timedelta, now: datetime) -> bool:
    """Counted from the last proof of the way back: a drill, a real rollback, or the promotion that made it anew.

    Not while a drill goes on, which has proven nothing yet.
    """
    if last is not None and last.is_passed is None:
        return False
    route = Route.objects.select_related("production").filter(pipeline=pipeline, candidate=None).first()
    if route is None or route.production.promoted_at is None:
        return False
    if last is not None and last.is_passed is False:
        every = min(every, AFTER_A_FAILURE)
    back = Rollback.objects.filter(pipeline=pipeline, flipped_at__isnull=False).first()
    proofs = [route.production.promoted_at, last and last.created_at, back and back.flipped_at]
    return max(at for at in proofs if at) + every <= now


@transaction.atomic
def finish(drill: Drill, is_passed: bool, sentence: str, now: datetime, *, is_told: bool = True) -> None:
    """Once. A drill that failed is told to people: the way back does not hold, and nobody needs it yet."""
    rows = Drill.objects.filter(pk=drill.pk, is_passed=None)
    result = {"is_passed": is_passed, "sentence": sentence, "hosts": drill.hosts, "finished_at": now}
    if not rows.update(**result):
        return
    drill.is_passed = is_passed
    if not is_told:
        return
    if is_passed:
        outbox.tell_recovered(drill.pipeline, "drill_failed", now)
    else:
        words = {"reason": sentence, "drill": drill.pk, "to": drill.to_version.label}
        outbox.notify(drill.from_version.run, "drill_failed", now, words)


def latest_by_host(client_id: int) -> dict[str, tuple[Drill, str]]:
    """Of each host: the latest drill that asked it, and its status there."""
    found: dict[str, tuple[Drill, str]] = {}
    rows = Drill.objects.filter(client_id=client_id, is_passed__isnull=False)
    for row in rows.select_related("pipeline", "to_version")[:RECENT]:
        for name, said in row.hosts.items():
            found.setdefault(name, (row, "passed" if said["is_ready"] else "failed"))
    return found
