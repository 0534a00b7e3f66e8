"""Stage 6, deploy. Takes: a version that the gates let through. Gives: all the traffic to it, step by step.

Idempotent by (run, host) and rollout status.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction

from pipelines.domain.canary import Decision, Guardrail, Move
from pipelines.domain.transitions import JobStatus, RolloutStatus
from pipelines.engine.jobs import ensure_job
from pipelines.engine.outcome import Done, Given, Hold, Outcome, Stop, Wait
from pipelines.engine.waiting import LOOK_AGAIN
from pipelines.models import Job, ModelVersion, PipelineState, Rollout, Route, Run
from pipelines.shipping import canary
from pipelines.shipping.promotion import promote
from pipelines.shipping.rollback import Finding, roll_back
from pipelines.shipping.route import flip
from tenants.models import Host


def run(run: Run, given: Given, now: datetime) -> Outcome:
    version = ModelVersion.objects.get(run=run)
    state = PipelineState.objects.select_related("production").get(pipeline_id=run.pipeline_id)
    rollout = Rollout.objects.select_related("version", "previous", "run").filter(run=run).first()
    if state.production is None and rollout is None and not _is_approved(run):
        return Hold(f"{version.label} is the first version: a person promotes it")
    if rollout is None:
        placing = _place(run, given, now)
        if placing is not None:
            return placing
        rollout = _open(run, version, state.production, now)
    match rollout.status:
        case RolloutStatus.PLACED:
            return _begin(rollout, given, now)
        case RolloutStatus.STEPPING:
            return _step(rollout, given, now)
        case RolloutStatus.HALTED:
            rollout.move(RolloutStatus.STEPPING)  # Only a person's approval wakes a halted rollout.
            return Wait(now, "canary resumed")
        case RolloutStatus.LIVE:
            return Done({"version": version.number, "live_at": rollout.went_live_at.isoformat()})
        case _:
            return Stop("rolled_back", "the version was taken back")


def _is_approved(run: Run) -> bool:
    return bool(run.approvals.get("deploy") or run.approvals.get("compare"))


def _place(run: Run, given: Given, now: datetime) -> Outcome | None:
    """Pushes to every host, side by side. None when the version stands on all of them."""
    hosts = Host.objects.filter(client_id=run.client_id, is_enabled=True)
    if given.settings.hosts:
        hosts = hosts.filter(name__in=given.settings.hosts)
    if not hosts:
        return Hold("no enabled host: add one, then approve")
    again = len(run.approvals.get("deploy", []))
    jobs = [
        ensure_job(run, f"push:{host.name}" + (f":{again}" if again else ""), "push", {"host": host.pk}, now)
        for host in hosts
    ]
    failed = [job for job in jobs if job.status == JobStatus.FAILED]
    if failed:
        return _could_not_place(failed)
    if any(job.status != JobStatus.SUCCEEDED for job in jobs):
        return Wait(now + LOOK_AGAIN, "push to hosts")
    return None


def _could_not_place(failed: list[Job]) -> Outcome:
    """A host that refuses the file ends the run; one that cannot be reached holds it.

    Production is untouched either way.
    """
    reason = "; ".join(f"{job.kind.partition(':')[2]}: {job.error}" for job in failed)
    if any(job.is_permanent for job in failed):
        return Stop("failed", f"deploy: {reason}")
    return Hold(f"not every host could be reached; production is untouched. {reason}")


def _open(run: Run, version: ModelVersion, production: ModelVersion | None, now: datetime) -> Rollout:
    fields = {"version": version, "previous": production, "created_at": now}
    made = Rollout.of(run, run=run, pipeline_id=run.pipeline_id, **fields)
    made.save()
    return made


@transaction.atomic
def _begin(rollout: Rollout, given: Given, now: datetime) -> Outcome:
    steps = given.settings.rollout.steps
    if rollout.previous is None or not steps:
        promote(rollout, now)
        return Done({"version": rollout.version.number, "live_at": now.isoformat()})
    canary.begin(rollout, now)
    rollout.move(RolloutStatus.STEPPING)
    flip(rollout.previous, now, candidate=rollout.version, share=steps[0].share, rollout=rollout)
    return _wait(given, now, steps[0].share)


def _wait(given: Given, now: datetime, share: float) -> Outcome:
    return Wait(now + timedelta(seconds=given.settings.rollout.check_every_s), f"canary at {share * 100:g} %")


@transaction.atomic
def _step(rollout: Rollout, given: Given, now: datetime) -> Outcome:
    decision = canary.look(rollout, given.settings, now)
    if _may_pass(rollout, decision):
        return _advance(rollout, given, now)
    match decision.move:
        case Move.ADVANCE:
            return _advance(rollout, given, now)
        case Move.ROLL_BACK:
            route = Route.objects.select_for_update().get(pipeline_id=rollout.pipeline_id)
            finding = Finding("canary", _metric(decision.guardrail), decision.sentence, dict(decision.numbers))
            roll_back(route, rollout.beside, finding, "canary analysis", now)
            return Stop("rolled_back", decision.sentence)
        case Move.HALT:
            rollout.move(RolloutStatus.HALTED)
            return Hold(decision.sentence)
        case Move.HOLD | Move.REPLAY:
            return Hold(f"{decision.sentence}; replay impossible: approve to go on, or roll back")
        case Move.STAY:
            return _wait(given, now, given.settings.rollout.steps[rollout.step].share)


def _may_pass(rollout: Rollout, decision: Decision) -> bool:
    """A person approved this very step after it was held for want of evidence."""
    approvals = rollout.run.approvals.get("deploy", [])
    last = datetime.fromisoformat(approvals[-1]["at"]) if approvals else None
    began = rollout.step_started_at
    return decision.move in (Move.HOLD, Move.REPLAY) and last is not None and began is not None and last > began


def _metric(guardrail: Guardrail | None) -> str:
    return guardrail.value if guardrail else "transport"


def _advance(rollout: Rollout, given: Given, now: datetime) -> Outcome:
    share = canary.advance(rollout, given.settings, now)
    if share is None:
        promote(rollout, now)
        return Done({"version": rollout.version.number, "live_at": now.isoformat()})
    flip(rollout.beside, now, candidate=rollout.version, share=share, rollout=rollout)
    return _wait(given, now, share)
