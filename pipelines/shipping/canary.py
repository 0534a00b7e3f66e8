"""One look at a canary: apply the slots that closed, decide, write the look down."""

from __future__ import annotations

from datetime import datetime, timedelta

from pipelines.domain import canary as judge
from pipelines.domain.monitor import MonitorDecision
from pipelines.models import Check, Rollout
from pipelines.shipping import evidence
from pipelines.shipping.plans import rollout_plan
from tenants.pipeline_settings import PipelineSettings

Look = judge.Decision | MonitorDecision


def begin(rollout: Rollout, now: datetime) -> None:
    """Freezes production's p95 and opens the first step."""
    limit = evidence.slow_limit_ms(rollout.beside, rollout.run)
    rollout.frozen = rollout.frozen | {"slow_limit_ms": limit}
    rollout.canary = judge.begin(now, limit).to_json()
    rollout.step, rollout.step_started_at = 0, now
    rollout.save(update_fields=["frozen", "canary", "step", "step_started_at"])


def look(rollout: Rollout, settings: PipelineSettings, now: datetime) -> judge.Decision:
    """The decision at `now`. Slots are applied once each, so a look that is repeated after a crash changes nothing."""
    plan = rollout_plan(settings.rollout)
    state = judge.CanaryState.from_json(rollout.canary)
    timeout = timedelta(seconds=settings.rollout.request_timeout_s)
    for number, start, end in judge.due_slots(state, plan, now, timeout):
        seen = evidence.keys_seen(rollout, state.step_began_at, start)
        state = judge.apply_slot(state, plan, number, evidence.of_slot(rollout, start, end), seen)
    recent = evidence.recent_transport(rollout, state.step_began_at, now)
    decision = judge.decide(state, plan, now, recent, replay_possible=False)
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
    fields = {"decision": decision.move.value, "sentence": decision.sentence, "at": now}
    fields |= {"numbers": dict(decision.numbers) | {"notices": list(decision.notices)}}
    owner = {"agency_id": rollout.agency_id, "client_id": rollout.client_id}
    found = {"rollout": rollout, "phase": phase, "number": number}
    # Asked again in the same window, after a crash or an approval: the first answer stands. Acts are in the ledger.
    Check.objects.get_or_create(**found, defaults=fields | owner)
