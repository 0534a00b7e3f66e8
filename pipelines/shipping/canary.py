"""One look at a canary: apply the slots that closed, decide, write the look down."""

from __future__ import annotations

from datetime import datetime, timedelta

from pipelines import outbox
from pipelines.domain import canary as judge
from pipelines.domain.monitor import MonitorDecision, MonitorMove
from pipelines.domain.transitions import RunStatus
from pipelines.models import Check, Rollout
from pipelines.shipping import evidence, replay
from pipelines.shipping.plans import rollout_plan
from tenants.pipeline_settings import PipelineSettings

# The mail about the rollback says it all.
TAKES_BACK = (judge.Move.ROLL_BACK, MonitorMove.ROLL_BACK, MonitorMove.CONFIRM)
Look = judge.Decision | MonitorDecision


def begin(rollout: Rollout, now: datetime) -> None:
    """Freezes production's p95. Step 0 is a replay, with no share of the traffic; it may be over at once."""
    limit = evidence.slow_limit_ms(rollout.beside, rollout.run)
    rollout.frozen = rollout.frozen | {"slow_limit_ms": limit}
    rollout.canary = judge.begin(now, limit).to_json()
    rollout.step, rollout.step_started_at = 0, None
    rollout.save(update_fields=["frozen", "canary", "step", "step_started_at"])


def look_at_pairs(rollout: Rollout, settings: PipelineSettings, now: datetime) -> judge.Decision:
    """The decision after step 0."""
    state = replay.count(rollout, judge.CanaryState.from_json(rollout.canary))
    decision = judge.after_shadow(state, rollout_plan(settings.rollout))
    rollout.canary = state.to_json()
    rollout.save(update_fields=["canary"])
    record(rollout, "replay", 0, decision, now)
    return decision


def open_steps(rollout: Rollout, settings: PipelineSettings, now: datetime) -> float:
    """The first step begins; gives its share."""
    state = judge.after_replay(judge.CanaryState.from_json(rollout.canary), now)
    rollout.canary, rollout.step_started_at = state.to_json(), now
    rollout.save(update_fields=["canary", "step_started_at"])
    return settings.rollout.steps[0].share


def look(rollout: Rollout, settings: PipelineSettings, now: datetime) -> judge.Decision:
    """The decision at `now`. Slots and pairs are applied once each: a look repeated after a crash changes nothing."""
    plan = rollout_plan(settings.rollout)
    state = judge.CanaryState.from_json(rollout.canary)
    timeout = timedelta(seconds=settings.rollout.request_timeout_s)
    slots = judge.due_slots(state, plan, now, timeout)
    answered = evidence.by_slot(rollout, slots)
    for number, start, _end in slots:
        seen = evidence.keys_seen(rollout, state.step_began_at, start) if number in answered else ()
        state = judge.apply_slot(state, plan, number, answered.get(number, ()), seen)
    state = replay.count(rollout, state)
    recent = evidence.recent_transport(rollout, state.step_began_at, now)
    # Asked once it matters: what a replay could ask takes a while to count, and the route is locked.
    is_late = now - state.step_began_at >= plan.max_step
    decision = judge.decide(state, plan, now, recent, is_late and replay.may_settle(rollout, settings, now))
    rollout.canary = state.to_json()
    rollout.save(update_fields=["canary"])
    number = int((now - state.began_at).total_seconds() // settings.rollout.check_every_s)
    record(rollout, "canary", number, decision, now)
    return decision


def advance(rollout: Rollout, settings: PipelineSettings, now: datetime) -> float | None:
    """Opens the next step and gives its share; None when the last one is behind."""
    plan = rollout_plan(settings.rollout)
    state = judge.CanaryState.from_json(rollout.canary)
    if state.step + 1 >= len(plan.steps):
        return None
    state = judge.next_step(state, now)
    rollout.canary, rollout.step, rollout.step_started_at = state.to_json(), state.step, now
    rollout.save(update_fields=["canary", "step", "step_started_at"])
    return plan.steps[state.step].share_bp / 10_000


def record(rollout: Rollout, phase: str, number: int, decision: Look, now: datetime) -> None:
    """The look as a row; and people are told of what was noticed in it."""
    fields = {"decision": decision.move.value, "sentence": decision.sentence, "at": now}
    fields |= {"numbers": dict(decision.numbers) | {"notices": [noticed.sentence for noticed in decision.notices]}}
    owner = {"agency_id": rollout.agency_id, "client_id": rollout.client_id}
    found = {"rollout": rollout, "phase": phase, "number": number}
    # Asked again in the same window, after a crash or an approval: the first answer stands. Acts are in the ledger.
    Check.objects.get_or_create(**found, defaults=fields | owner)
    # Whoever has to decide about a held run was asked once; what still stands is told when it goes on.
    if decision.move not in TAKES_BACK and rollout.run.status != RunStatus.HELD:
        _tell(rollout, phase, decision, now)


def _tell(rollout: Rollout, phase: str, decision: Look, now: datetime) -> None:
    """Once per run and guardrail, at the first look that finds it."""
    for noticed in decision.notices:
        told = {"guardrail": noticed.guardrail.value, "phase": phase, "reason": noticed.sentence}
        outbox.notify(rollout.run, "noticed", now, told | {"numbers": dict(noticed.numbers)})
