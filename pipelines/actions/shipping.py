"""What a person or key orders of versions in traffic: back; and of a rollout: pause, resume, promote now, abort."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.utils.translation import gettext as _

from pipelines.actions.refused import ActionRefused
from pipelines.actions.two_people import confirmed_by, second_for
from pipelines.domain.transitions import RunStatus
from pipelines.engine import dispatch, kernel
from pipelines.models import Drill, ModelVersion, Rollback, Rollout, Route, Run
from pipelines.shipping import people, rollback
from pipelines.shipping.back import drills
from pipelines.shipping.change_control import closed_now
from pipelines.shipping.rollback import Finding
from tenants.models import AuditEvent, Pipeline
from tenants.people.four_eyes import Topic


@transaction.atomic
def roll_back(pipeline: Pipeline, *, to: ModelVersion | None, actor: str, reason: str, now: datetime) -> Rollback:
    """Moves all traffic to `to` (default: what was in production before): at once where hosts keep it loaded.

    Any other version is first placed, loaded and asked on its hosts by a job, which then moves the traffic: until then
    the rollback has no `flipped_at`. Refused where there are no bytes of it, and without `to` just after a rollback.
    """
    if not reason.strip():
        raise ActionRefused(_("Say why: the reason is kept in the ledger."))
    route = Route.objects.select_for_update().filter(pipeline=pipeline).first()
    if route is None:
        raise ActionRefused(_("Nothing is in production yet, so there is nothing to roll back."))
    target = to or rollback.default_target(route)
    why_not = ("" if to else rollback.doubled(route, now)) or rollback.obstacle(route, target)
    if target is None or why_not:
        raise ActionRefused(why_not or _("There is no earlier version to go back to."))
    finding = Finding("person", "decision", reason, {})
    how = rollback.roll_back if rollback.is_warm(route, target) else rollback.order
    made = how(route, target, finding, actor, now)
    AuditEvent.append(pipeline, actor, "rollback", f"{pipeline.slug} to v{target.number}", now, {"reason": reason})
    return made


def start_drill(pipeline: Pipeline, *, actor: str, now: datetime) -> Drill:
    """Rehearses the rollback that would happen now; no traffic moves. A job walks the way and writes the result."""
    try:
        return drills.begin(pipeline, actor, now)
    except drills.DrillRefused as refused:
        raise ActionRefused(str(refused)) from refused


@transaction.atomic
def pause_rollout(run: Run, *, actor: str, reason: str, now: datetime) -> None:
    """The version keeps the share it has. Guardrails go on, and take it back when they fire."""
    rollout = on_its_way(run, reason)
    if rollout.is_paused:
        raise ActionRefused(_("The rollout is paused already, by %(by)s.") % {"by": rollout.paused_by})
    people.pause(rollout, actor, reason, now)
    _tell(run, rollout, (actor, "rollout.pause", reason), now)


@transaction.atomic
def resume_rollout(run: Run, *, actor: str, reason: str, now: datetime) -> None:
    """The steps go on; the time that passed meanwhile counts."""
    rollout = on_its_way(run, reason)
    if not rollout.is_paused:
        raise ActionRefused(_("The rollout is not paused."))
    people.resume(rollout)
    _tell(run, rollout, (actor, "rollout.resume", reason), now)


@transaction.atomic
def promote_rollout(run: Run, *, actor: str, reason: str, now: datetime) -> None:
    """All the traffic now, whatever evidence is missing. Who did so stands on the version's card."""
    rollout = on_its_way(run, reason)
    closed = closed_now(rollout.pipeline, now)
    if closed is not None:
        raise ActionRefused(_("Rollouts wait: %(reason)s.") % {"reason": closed.reason})
    second = second_for(run, Topic.PROMOTION, actor)
    row = Run.objects.select_for_update().get(pk=run.pk)
    people.promote_now(rollout, actor, now)
    if row.status == RunStatus.HELD:
        entry = {"by": actor, "reason": reason, "at": now.isoformat()} | confirmed_by(second)
        approvals = row.approvals | {"deploy": [*row.approvals.get("deploy", []), entry]}
        row.move(RunStatus.QUEUED, f"promoted by {actor}: {reason}", now, due_at=now, approvals=approvals)
        dispatch.wake_run(row.client_id, row.pk)
    _tell(run, rollout, (actor, "rollout.promote", reason), now, second)


@transaction.atomic
def abort_rollout(run: Run, *, actor: str, reason: str, now: datetime) -> None:
    """All the traffic back to production; the run ends as rolled back."""
    rollout = on_its_way(run, reason)
    AuditEvent.append(run, actor, "rollout.abort", _subject(rollout), now, {"reason": reason})
    roll_back(rollout.pipeline, to=rollout.beside, actor=actor, reason=reason, now=now)


def on_its_way(run: Run, reason: str) -> Rollout:
    """Locked. Refused where the version gets all the traffic already, if halted there too, or none any more."""
    if not reason.strip():
        raise ActionRefused(_("Say why: the reason is kept in the ledger."))
    found = Rollout.objects.filter(run=run).first()
    rollout = people.locked(found) if found else None
    if rollout is None or not rollout.is_on_its_way or rollout.previous is None:
        raise ActionRefused(_("No version of this run is on its way: there is nothing to pause, promote or abort."))
    return rollout


def _tell(run: Run, rollout: Rollout, act: tuple[str, str, str], now: datetime, second: str = "") -> None:
    """`act`: actor, verb and reason."""
    actor, verb, reason = act
    detail = {"step": rollout.step, "reason": reason} | confirmed_by(second)
    AuditEvent.append(run, actor, verb, _subject(rollout), now, detail)
    kernel.poke(run.client_id, run.pk, now)


def _subject(rollout: Rollout) -> str:
    return f"{rollout.pipeline.slug} {rollout.version.label}"
