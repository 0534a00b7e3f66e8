"""Stage 6, deploy. Takes: a version that the gates let through. Gives: all the traffic to it, step by step.

Idempotent by (run, host) and rollout status.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from pipelines.domain.canary import Decision, Move
from pipelines.domain.change.memory import Rung
from pipelines.domain.transitions import JobStatus, RolloutStatus
from pipelines.engine.jobs import ensure_job
from pipelines.engine.kernel import check_own
from pipelines.engine.outcome import Done, Given, Hold, Outcome, Stop, Wait
from pipelines.engine.waiting import LOOK_AGAIN
from pipelines.fleet import alone, memory
from pipelines.models import Job, ModelVersion, PipelineState, Rollback, Rollout, Run, Scorecard
from pipelines.records.scorecard import stale
from pipelines.shipping import canary, replay, watch
from pipelines.shipping.alias.flip import DIRECT, TURNS, still_moving, too_little_shown
from pipelines.shipping.change_control import held_back
from pipelines.shipping.people import halt, locked, wake
from pipelines.shipping.promotion import promote
from pipelines.shipping.rollback import Finding, take_back
from pipelines.shipping.route import flip
from tenants.models import Host

# What a person is asked. An approval passes the question that it was given to, and no other.
ANOTHER = "approve to roll it out all the same"
NO_ROOM = "production is untouched. Free memory there, add a host, or approve all the same"
NO_EVIDENCE = "replay impossible: approve to go on, or roll back"


def run(run: Run, given: Given, now: datetime) -> Outcome:
    version = ModelVersion.objects.get(run=run)
    state = PipelineState.objects.select_related("production").get(pipeline_id=run.pipeline_id)
    rollout = Rollout.objects.select_related("version", "previous", "run").filter(run=run).first()
    if state.production is None and rollout is None and not _is_approved(run):
        return Hold(f"{version.label} is the first version: a person promotes it")
    if rollout is None:
        placing = held_back(run, now) or _other_production(run) or _place(run, given, now)
        if placing is not None:
            return placing
        rollout = _open(run, version, state.production, now)
    match rollout.status:
        case RolloutStatus.PLACED:
            return held_back(run, now) or _begin(run, rollout, given, now)
        case RolloutStatus.STEPPING:
            return _step(rollout, given, now)
        case RolloutStatus.HALTED:
            return wake(rollout, RolloutStatus.STEPPING, now) or Wait(now, "canary resumed")
        case RolloutStatus.LIVE:
            return _live(rollout, given, now)
        case _:
            return Stop("rolled_back", "the version was taken back")


def _is_approved(run: Run) -> bool:
    return bool(run.approvals.get("deploy") or run.approvals.get("compare"))


def _other_production(run: Run) -> Hold | None:
    """Its gates compared it with a version that is not in production any more, and no person saw that since."""
    card = Scorecard.objects.select_related("version", "production").filter(run=run).first()
    if card is None or not stale(card):
        return None
    back = Rollback.objects.filter(pipeline_id=run.pipeline_id, flipped_at__isnull=False).order_by("flipped_at").last()
    since = back.flipped_at if back is not None and back.flipped_at is not None else card.created_at
    compared = [datetime.fromisoformat(entry["at"]) for entry in run.approvals.get("compare", [])]
    if any(at >= since for at in compared) or run.is_answered(ANOTHER, since):
        return None
    return Hold(f"{stale(card)}, or {ANOTHER}")


def _place(run: Run, given: Given, now: datetime) -> Outcome | None:
    """Pushes to every host, side by side. None when the version stands on all of them."""
    named, again = given.settings.hosts, len(run.approvals.get("deploy", []))
    hosts = Host.objects.filter(client_id=run.client_id, is_enabled=True)
    hosts = hosts.filter(name__in=named) if named else hosts
    missing = sorted(set(named) - {host.name for host in hosts})
    drained = [host.name for host in hosts if host.is_drained]
    hosts = hosts.filter(drained_at=None)
    if not hosts:
        return Hold(_no_host(drained))
    fewer = f"disabled or removed: {', '.join(missing)}; enable it, or approve to go on without it"
    if missing and not run.is_answered(fewer):
        return Hold(fewer)
    room = memory.preflight(ModelVersion.objects.get(run=run), _production(run), list(hosts))
    if not room.may_begin and not run.is_answered(NO_ROOM):
        return Hold(f"{room.sentence}; {NO_ROOM}")
    chosen = [host for host in hosts if not room.fit.hosts or host.name in room.fit.hosts]
    jobs = [
        ensure_job(run, f"push:{host.name}" + (f":{again}" if again else ""), "push", _terms(host, room), now)
        for host in chosen
    ]
    failed = [job for job in jobs if job.status == JobStatus.FAILED]
    if failed:
        return _could_not_place(failed)
    if any(job.status != JobStatus.SUCCEEDED for job in jobs):
        return Wait(now + LOOK_AGAIN, "push to hosts")
    return None


def _terms(host: Host, room: memory.Preflight) -> dict[str, Any]:
    return {"host": host.pk} | ({alone.KEY: True} if room.fit.rung is Rung.ONE_AT_A_TIME else {})


def _production(run: Run) -> ModelVersion | None:
    return PipelineState.objects.select_related("production").get(pipeline_id=run.pipeline_id).production


def _no_host(drained: list[str]) -> str:
    if drained:
        return f"every host is drained ({', '.join(drained)}): let one take versions again, or add one, then approve"
    return "no enabled host: add one, then approve"


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
    jobs = Job.objects.filter(run=run, kind__startswith="push:")
    made.frozen = {alone.KEY: True} if any(job.spec.get(alone.KEY) for job in jobs) else {}
    made.save()
    return made


@transaction.atomic
def _begin(run: Run, found: Rollout, given: Given, now: datetime) -> Outcome:
    """Into the traffic, unless the run is cancelled by now, or what it goes beside was taken back.

    Who cancels or rolls back takes turns with this.
    """
    rollout = locked(found)
    check_own(run)
    if rollout.status != RolloutStatus.PLACED or Run.objects.filter(pk=run.pk, cancel_asked_at__isnull=False).exists():
        return Wait(now, "canary")
    another = _beside_another(run, rollout)
    if another is not None:
        return another
    if rollout.previous is None or not given.settings.rollout.steps:
        promote(rollout, now)
        return _live(rollout, given, now)
    canary.begin(rollout, now)
    rollout.move(RolloutStatus.STEPPING)
    # No traffic yet: the route names the version, so that taking it back is one flip from the first moment on.
    flip(rollout.previous, now, candidate=rollout.version, share=0.0, rollout=rollout)
    return _replay(rollout, given, now)


def _beside_another(run: Run, rollout: Rollout) -> Hold | None:
    """What it was to go beside may have been taken back since it was placed: then it is for a person to say so."""
    production = _production(run)
    if production == rollout.previous:
        return None
    held = _other_production(run)
    if held is None:
        rollout.previous = production
        rollout.save(update_fields=["previous"])
    return held


def _live(rollout: Rollout, given: Given, now: datetime) -> Outcome:
    """Through; without a gateway only once the name has moved on every host."""
    moving = still_moving(rollout, now) if given.settings.rollout.is_direct else None
    done = {"version": rollout.version.number, "live_at": rollout.went_live_at.isoformat()}
    return moving or Done(done)


def _replay(rollout: Rollout, given: Given, now: datetime) -> Outcome:
    """Step 0: both versions answer recent prompts, where the client keeps some. No user meets the new one."""
    job = replay.job_of_step(rollout, given.settings, now)
    if job is not None and not replay.is_over(job):
        return Wait(now + LOOK_AGAIN, "replay of recent prompts")
    decision = canary.look_at_pairs(rollout, given.settings, now) if job is not None else None
    if decision is not None and decision.move is Move.ROLL_BACK:
        return _take_back(rollout, decision, now)
    if rollout.is_paused:
        return _paused(rollout, given, now)
    closed = held_back(rollout.run, now)
    if closed is not None:
        return closed
    return _leave_replay(rollout, decision, given, now)


def _leave_replay(rollout: Rollout, decision: Decision | None, given: Given, now: datetime) -> Outcome:
    """On to the first step; without a gateway there are no shares, and what the pairs show has to be enough."""
    if given.settings.rollout.is_direct:
        held = too_little_shown(rollout, decision, DIRECT)
        if held is None:
            promote(rollout, now)
        return held or _live(rollout, given, now)
    if alone.is_alone(rollout):
        # Shares would have the host load one version after the other, for every caller. The pairs decide.
        return too_little_shown(rollout, decision, TURNS) or _live_alone(rollout, now)
    share = canary.open_steps(rollout, given.settings, now)
    flip(rollout.beside, now, candidate=rollout.version, share=share, rollout=rollout)
    return _wait(given, now, share)


def _live_alone(rollout: Rollout, now: datetime) -> Outcome:
    promote(rollout, now)
    return Done({"version": rollout.version.number, "live_at": now.isoformat(), "one_at_a_time": True})


def _wait(given: Given, now: datetime, share: float, tail: str = "") -> Outcome:
    return Wait(now + timedelta(seconds=given.settings.rollout.check_every_s), f"canary at {share * 100:g} %{tail}")


def _paused(rollout: Rollout, given: Given, now: datetime) -> Outcome:
    until = now + timedelta(seconds=given.settings.rollout.check_every_s)
    return Wait(until, f"canary paused by {rollout.paused_by}: {rollout.pause_reason}")


@transaction.atomic
def _step(found: Rollout, given: Given, now: datetime) -> Outcome:
    rollout = locked(found)
    if rollout.status != RolloutStatus.STEPPING:
        return Wait(now, "canary")  # A person moved it meanwhile.
    if rollout.step_started_at is None:
        return _replay(rollout, given, now)
    decision = canary.look(rollout, given.settings, now)
    match decision.move:
        case Move.ROLL_BACK:
            return _take_back(rollout, decision, now)
        case Move.HALT:
            return halt(rollout, decision.sentence)
    if rollout.is_paused:
        return _paused(rollout, given, now)
    return _go_on(rollout, decision, given, now)


def _go_on(rollout: Rollout, decision: Decision, given: Given, now: datetime) -> Outcome:
    share = given.settings.rollout.steps[rollout.step].share
    if decision.move is Move.ADVANCE or _may_pass(rollout, decision):
        return _advance(rollout, given, now)
    if decision.move is Move.REPLAY and replay.job_of_step(rollout, given.settings, now) is not None:
        return _wait(given, now, share, ", replaying recent prompts")
    if decision.move is Move.STAY:
        return _wait(given, now, share)
    return Hold(f"{decision.sentence}; {NO_EVIDENCE}")


def _take_back(rollout: Rollout, decision: Decision, now: datetime) -> Outcome:
    why_not = take_back(rollout, Finding.of("canary", decision), "canary analysis", now)
    return halt(rollout, f"{decision.sentence}; {why_not}") if why_not else Stop("rolled_back", decision.sentence)


def _may_pass(rollout: Rollout, decision: Decision) -> bool:
    """A person approved this very step after it was held for want of evidence."""
    is_asked = decision.move in (Move.HOLD, Move.REPLAY)
    return is_asked and rollout.run.is_answered(NO_EVIDENCE, rollout.step_started_at)


def _advance(rollout: Rollout, given: Given, now: datetime) -> Outcome:
    closed = held_back(rollout.run, now)
    if closed is not None:
        return closed
    share = canary.advance(rollout, given.settings, now)
    if share is None:
        promote(rollout, now)
        watch.hold_back(rollout, given.settings, now)
        return Done({"version": rollout.version.number, "live_at": now.isoformat()})
    flip(rollout.beside, now, candidate=rollout.version, share=share, rollout=rollout)
    return _wait(given, now, share)
