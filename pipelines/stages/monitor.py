"""Stage 7, monitor. Takes: a version at 100 %. Gives: the end of the watch, or a rollback.

Idempotent: a slot is counted once.
"""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from pipelines.domain.monitor import MonitorMove
from pipelines.domain.transitions import RolloutStatus
from pipelines.engine.outcome import Done, Given, Hold, Outcome, Stop, Wait
from pipelines.models import Rollout, Route, Run
from pipelines.shipping import watch
from pipelines.shipping.rollback import Finding, roll_back


@transaction.atomic
def run(run: Run, given: Given, now: datetime) -> Outcome:
    rollout = Rollout.objects.select_related("version", "previous", "run").get(run=run)
    if rollout.status == RolloutStatus.HALTED:
        rollout.move(RolloutStatus.LIVE)  # Only a person's approval wakes a halted rollout.
    if rollout.status != RolloutStatus.LIVE:
        return Stop("rolled_back", "the version was taken back")
    decision = watch.look(rollout, given.settings, now)
    match decision.move:
        case MonitorMove.ROLL_BACK | MonitorMove.CONFIRM if rollout.previous is not None:
            route = Route.objects.select_for_update().get(pipeline_id=run.pipeline_id)
            metric = decision.guardrail.value if decision.guardrail else "transport"
            finding = Finding("monitor", metric, decision.sentence, dict(decision.numbers))
            roll_back(route, rollout.previous, finding, "monitor", now)
            return Stop("rolled_back", decision.sentence)
        case MonitorMove.ROLL_BACK | MonitorMove.CONFIRM:
            rollout.move(RolloutStatus.HALTED)
            return Hold(f"{decision.sentence}; there is no earlier version to go back to")
        case MonitorMove.END:
            return Done({"sentence": decision.sentence, "is_conclusive": decision.is_conclusive})
        case MonitorMove.CONTINUE:
            return Wait(watch.next_look(rollout, given.settings, now), "monitor")
