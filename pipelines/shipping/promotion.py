"""Promotion: a version takes all the traffic."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from pipelines import outbox
from pipelines.domain.transitions import RolloutStatus
from pipelines.engine import dispatch
from pipelines.models import Job, ModelVersion, PipelineState, Rollout
from pipelines.shipping.ending import keep_card
from pipelines.shipping.route import flip


@transaction.atomic
def promote(rollout: Rollout, now: datetime, *, by: str = "rollout") -> None:
    """100 % to the rollout's version; what was in production is archived and stays placed, ready to come back."""
    version, previous = rollout.version, rollout.previous
    flip(version, now, rollout=rollout, by=by)
    if previous is not None:
        set_status(previous, "archived")
        Rollout.objects.filter(version=previous, status=RolloutStatus.LIVE).update(status=RolloutStatus.RETIRED)
    set_status(version, "production", promoted_at=now)
    PipelineState.objects.filter(pipeline_id=version.pipeline_id).update(production=version)
    rollout.move(RolloutStatus.LIVE, live_at=now)
    _point_aliases(rollout, now)
    for changed in (version, previous):
        if changed is not None:
            keep_card(changed.run)
    for trouble in ("failed", "stopped", "rollback_stuck"):
        outbox.tell_recovered(rollout.run.pipeline, trouble, now)
    outbox.notify(rollout.run, "promoted", now, {"from": previous.number if previous else None})


def _point_aliases(rollout: Rollout, now: datetime) -> None:
    """`:production` on every host, for those who call a host directly.

    The gateway never uses it, so nothing waits for it.
    """
    run = rollout.run
    job = Job.of(run, run=run, stage="deploy", kind="alias", queue="push", created_at=now, due_at=now, max_attempts=5)
    job.save()
    dispatch.work_job(job.client_id, job.pk, job.queue)


def set_status(version: ModelVersion, status: str, **fields: object) -> None:
    ModelVersion.objects.filter(pk=version.pk).update(status=status, **fields)
    version.status = status
