"""Taking a version back: the route first, everything else after it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.utils.translation import gettext as _

from pipelines.artifacts import store_of
from pipelines.domain.transitions import RolloutStatus, RunStatus
from pipelines.engine import dispatch
from pipelines.models import Job, ModelVersion, PipelineState, Placement, Rollback, Rollout, Route, Run, StageRun
from pipelines.shipping.ending import keep_card, on_rest
from pipelines.shipping.promotion import set_status
from pipelines.shipping.route import flip

if TYPE_CHECKING:  # A gateway has no use for what decisions are computed with.
    from pipelines.domain.canary import Decision
    from pipelines.domain.monitor import MonitorDecision

# More than fit into the day after which a rollback is given up.
TRIES = 1_000
# Who orders twice, or in the same moment as the machine does, means one rollback and not two.
JUST_NOW = timedelta(minutes=2)


@dataclass(frozen=True)
class Finding:
    """Why: the phase (canary, monitor, person), the metric, a sentence with its numbers, and the numbers."""

    phase: str
    metric: str
    sentence: str
    numbers: dict[str, Any]

    @classmethod
    def of(cls, phase: str, decision: Decision | MonitorDecision) -> Finding:
        """What a look decided. A decision that names no guardrail is about the wire."""
        metric = decision.guardrail.value if decision.guardrail else "transport"
        return cls(phase, metric, decision.sentence, dict(decision.numbers))


@transaction.atomic
def roll_back(
    route: Route,
    target: ModelVersion,
    finding: Finding,
    decided_by: str,
    now: datetime,
    decided_at: datetime | None = None,
) -> Rollback:
    """All traffic to `target`, in this transaction: gateways follow within a second.

    Hosts and mails come after the commit. `decided_at`: of an order that the database hears of later.
    """
    made = _noted(route, target, finding, decided_by, decided_at or now)
    carry_out(made, route, now)
    return made


@transaction.atomic
def take_back(rollout: Rollout, finding: Finding, decided_by: str, now: datetime) -> str:
    """The machine's own rollback, to the version before. Empty where the traffic is off this one, or was before.

    Else why it stays: a person can have a version brought to its hosts, and sees what that takes.
    """
    route, target = Route.objects.select_for_update().get(pipeline_id=rollout.pipeline_id), rollout.previous
    if rollout.version_id not in (route.candidate_id, route.production_id):
        return ""
    if target is None:
        return "there is no earlier version to go back to"
    if not _is_placed(target):
        return f"{target.label} stands on no enabled host: enable one that has it, or roll back to have it placed first"
    roll_back(route, target, finding, decided_by, now)
    return ""


@transaction.atomic
def order(route: Route, target: ModelVersion, finding: Finding, decided_by: str, now: datetime) -> Rollback:
    """A rollback to a version that nobody knows to be loaded: a job proves it on its hosts, then moves the traffic."""
    made = _noted(route, target, finding, decided_by, now)
    made.save()
    _send_off(made, target.run, f"bring:{made.pk}", now)
    return made


def _noted(route: Route, target: ModelVersion, finding: Finding, decided_by: str, at: datetime) -> Rollback:
    fields: dict[str, Any] = asdict(finding) | {"from_version": leaving(route, target), "to_version": target}
    return Rollback.of(route, pipeline_id=route.pipeline_id, decided_by=decided_by, decided_at=at, **fields)


def leaving(route: Route, target: ModelVersion) -> ModelVersion:
    """What stops answering when all traffic goes to `target`; a canary beside it stops too.

    Under a holdback the version that is watched is the route's candidate, whatever the target.
    """
    candidate = route.candidate
    if candidate is not None and (target.pk == route.production_id or candidate.status == "production"):
        return candidate
    return route.production


@transaction.atomic
def carry_out(made: Rollback, route: Route, now: datetime) -> None:
    """Moves the traffic of a rollback that was decided. `route` is locked by the caller."""
    target = made.target
    gone, candidate = leaving(route, target), route.candidate
    rollout = Rollout.objects.filter(version=gone).order_by("-id").first()
    flip(target, now, by=made.decided_by)
    set_status(gone, "rolled_back")
    set_status(target, "production")
    keep_card(target.run)
    _start_cooldown(gone, target, now)
    made.from_version, made.rollout, made.flipped_at = gone, rollout, now
    made.save()
    if rollout is not None and rollout.status in (RolloutStatus.STEPPING, RolloutStatus.LIVE, RolloutStatus.HALTED):
        rollout.move(RolloutStatus.ROLLING_BACK)
    if candidate is not None and candidate.pk not in (gone.pk, target.pk):
        _end_canary(candidate, made, now)
    _send_off(made, gone.run, f"restore:{made.pk}", now)
    # Locked: a worker that claims the run at this moment waits, and then finds it ended.
    _end_run(Run.objects.select_for_update().get(pk=gone.run_id), made, now)


def _end_canary(candidate: ModelVersion, made: Rollback, now: datetime) -> None:
    """It was judged beside a version that is gone: it may neither go on nor bring that version back."""
    for rollout in Rollout.objects.filter(version=candidate, status__in=(RolloutStatus.STEPPING, RolloutStatus.HALTED)):
        rollout.move(RolloutStatus.ROLLING_BACK)
        rollout.move(RolloutStatus.ROLLED_BACK, finished_at=now)
    run = Run.objects.select_for_update().get(pk=candidate.run_id)
    reason = f"{made.from_version.label}, which it was judged beside, was taken back"
    if run.is_live and run.move(RunStatus.CANCELLED, reason, now, verdict="cancelled"):
        StageRun.objects.filter(run=run, stage=run.stage).update(status="cancelled", finished_at=now)
        on_rest(run, now)


def _start_cooldown(gone: ModelVersion, target: ModelVersion, now: datetime) -> None:
    pause = gone.run.revision.settings.triggers.cooldown
    PipelineState.objects.filter(pipeline_id=gone.pipeline_id).update(production=target, cooldown_until=now + pause)


def _send_off(made: Rollback, run: Run, kind: str, now: datetime) -> None:
    fields = {"stage": "monitor", "kind": kind, "queue": "push", "max_attempts": TRIES}
    job = Job.of(run, run=run, created_at=now, due_at=now, **fields)
    job.save()
    dispatch.work_job(job.client_id, job.pk, job.queue)


def _end_run(run: Run, made: Rollback, now: datetime) -> None:
    """Ends the run that brought the version, if it is live. A worker in the middle of it is fenced out by the move."""
    if run.is_live and run.move(RunStatus.ROLLED_BACK, made.sentence, now, verdict="rolled_back"):
        StageRun.objects.filter(run=run, stage=run.stage).update(status="rolled_back", finished_at=now)
    on_rest(run, now, taken_back=made)


def default_target(route: Route) -> ModelVersion | None:
    """In a canary: production. Else the version that production replaced, or the latest archived one before it."""
    if route.candidate_id:
        return route.production
    rollout = Rollout.objects.filter(version=route.production).select_related("previous").order_by("-id").first()
    if rollout is not None and rollout.previous is not None and rollout.previous.status == "archived":
        return rollout.previous
    earlier = ModelVersion.objects.filter(pipeline_id=route.pipeline_id, status="archived", promoted_at__isnull=False)
    return earlier.exclude(pk=route.production_id).order_by("-promoted_at").first()


def is_warm(route: Route, target: ModelVersion) -> bool:
    """Whether hosts keep `target` loaded, so that traffic may go there at once: production beside a canary, or the

    version that production replaced.
    """
    last = Rollout.objects.filter(version=route.candidate or route.production).order_by("-id").first()
    if last is not None and last.frozen.get("one_at_a_time") and not route.candidate_id:
        return False
    kept = route.production_id if route.candidate_id else last.previous_id if last else None
    return target.pk == kept and _is_placed(target)


def obstacle(route: Route, target: ModelVersion | None) -> str:
    """Why a person cannot go back to `target` right now; empty when nothing stands in the way."""
    if target is None:
        return _("There is no earlier version to go back to.")
    words = {"number": target.number}
    if target.pk == route.production_id and not route.candidate_id:
        return _("v%(number)s is in production already.") % words
    if target.pk == route.candidate_id:
        return _("v%(number)s is on its way up: promote it on its run's page, or roll back to another.") % words
    if target.promoted_at is None:
        return _("v%(number)s was never in production: only a version that passed its gates can be restored.") % words
    if not _is_placed(target) and not store_of(target.client_id).has_all(target.files):
        return _("v%(number)s is on no host any more, and its file is not in the artifact store.") % words
    return ""


def doubled(route: Route, now: datetime) -> str:
    """Why a rollback to nowhere in particular must say where to: the traffic went back a moment ago. Else empty.

    `route` is locked by the caller: of two such orders at once the second is told so.
    """
    if route.candidate_id:
        return ""  # It ends the canary, whatever happened before that.
    rows = Rollback.objects.filter(pipeline_id=route.pipeline_id).select_related("from_version", "to_version")
    last = rows.order_by("-id").first()
    if last is None or now - last.moved_at >= JUST_NOW:
        return ""
    if last.flipped_at is not None and last.to_version_id != route.production_id:
        return ""  # A promotion came after it.
    words = {"gone": last.from_version.label, "back": last.target.label, "by": last.decided_by}
    words |= {"seconds": max(0, round((now - last.moved_at).total_seconds()))}
    said = _("%(by)s ordered the rollback from %(gone)s to %(back)s %(seconds)s seconds ago.") % words
    return said + " " + _("To go back further, name the version: give `to`.")


def _is_placed(target: ModelVersion) -> bool:
    return Placement.objects.filter(version=target, status="placed", host__is_enabled=True).exists()
