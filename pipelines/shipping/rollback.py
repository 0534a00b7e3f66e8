"""Taking a version back: the route first, everything else after it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from pipelines.artifacts import store_of
from pipelines.domain.transitions import RolloutStatus, RunStatus
from pipelines.engine import dispatch
from pipelines.models import Job, ModelVersion, PipelineState, Placement, Rollback, Rollout, Route, Run, StageRun
from pipelines.shipping.ending import on_rest
from pipelines.shipping.promotion import set_status
from pipelines.shipping.route import flip


@dataclass(frozen=True)
class Finding:
    """Why: the phase (canary, monitor, person), the metric, a sentence with its numbers, and the numbers."""

    phase: str
    metric: str
    sentence: str
    numbers: dict[str, Any]


@transaction.atomic
def roll_back(route: Route, target: ModelVersion, finding: Finding, decided_by: str, now: datetime) -> Rollback:
    """All traffic to `target`, in this transaction: gateways follow within a second.

    Hosts and mails come after the commit.
    """
    candidate = route.candidate
    gone = candidate if candidate is not None and target.pk == route.production_id else route.production
    rollout = Rollout.objects.filter(version=gone).order_by("-id").first()
    flip(target, now)
    set_status(gone, "rolled_back")
    set_status(target, "production")
    _start_cooldown(gone, target, now)
    fields: dict[str, Any] = asdict(finding) | {"from_version": gone, "to_version": target}
    fields |= {"decided_by": decided_by, "decided_at": now, "flipped_at": now}
    made = Rollback.of(route, pipeline_id=route.pipeline_id, rollout=rollout, **fields)
    made.save()
    if rollout is not None and rollout.status in (RolloutStatus.STEPPING, RolloutStatus.LIVE, RolloutStatus.HALTED):
        rollout.move(RolloutStatus.ROLLING_BACK)
    _restore_hosts(made, gone.run, now)
    # Locked: a worker that claims the run at this moment waits, and then finds it ended.
    _end_run(Run.objects.select_for_update().get(pk=gone.run_id), finding.sentence, now)
    return made


def _start_cooldown(gone: ModelVersion, target: ModelVersion, now: datetime) -> None:
    pause = gone.run.revision.settings.triggers.cooldown
    PipelineState.objects.filter(pipeline_id=gone.pipeline_id).update(production=target, cooldown_until=now + pause)


def _restore_hosts(made: Rollback, run: Run, now: datetime) -> None:
    job = Job.of(
        run,
        run=run,
        stage="monitor",
        kind=f"restore:{made.pk}",
        queue="push",
        created_at=now,
        due_at=now,
        max_attempts=5,
    )
    job.save()
    dispatch.work_job(job.client_id, job.pk, job.queue)


def _end_run(run: Run, sentence: str, now: datetime) -> None:
    """Ends the run that brought the version, if it is live. A worker in the middle of it is fenced out by the move."""
    if run.is_live and run.move(RunStatus.ROLLED_BACK, sentence, now, verdict="rolled_back"):
        StageRun.objects.filter(run=run, stage=run.stage).update(status="rolled_back", finished_at=now)
    on_rest(run, now, taken_back=True)


def default_target(route: Route) -> ModelVersion | None:
    """In a canary: production. Else the version that production replaced, or the latest archived one before it."""
    if route.candidate_id:
        return route.production
    rollout = Rollout.objects.filter(version=route.production).select_related("previous").order_by("-id").first()
    if rollout is not None and rollout.previous is not None and rollout.previous.status == "archived":
        return rollout.previous
    earlier = ModelVersion.objects.filter(pipeline_id=route.pipeline_id, status="archived", promoted_at__isnull=False)
    return earlier.exclude(pk=route.production_id).order_by("-promoted_at").first()


def obstacle(route: Route, target: ModelVersion | None) -> str:
    """Why a person cannot go back to `target` right now; empty when nothing stands in the way."""
    if target is None:
        return _("There is no earlier version to go back to.")
    if target.pk == route.production_id and not route.candidate_id:
        return _("v%(number)s is in production already.") % {"number": target.number}
    if target.promoted_at is None:
        return _("v%(number)s was never in production: only a version that passed its gates can be restored.") % {
            "number": target.number
        }
    if not Placement.objects.filter(version=target, status="placed", host__is_enabled=True).exists():
        return _("v%(number)s is on no host any more.") % {"number": target.number}
    if not store_of(target.client_id).has(target.gguf_digest):
        return _("The file of v%(number)s is not in the artifact store.") % {"number": target.number}
    return ""
