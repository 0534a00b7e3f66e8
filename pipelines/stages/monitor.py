"""Stage 7, monitor. Takes: a version at 100 %. Gives: the end of the watch, or a rollback.

Idempotent: a slot is counted once.
"""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from pipelines.domain.monitor import MonitorMove
from pipelines.domain.transitions import RolloutStatus
from pipelines.engine.outcome import Done, Given, Outcome, Stop, Wait
from pipelines.engine.waiting import LOOK_AGAIN
from pipelines.models import Rollout, Run
from pipelines.shipping import watch
from pipelines.shipping.alias import probes
from pipelines.shipping.people import halt, wake
from pipelines.shipping.rollback import Finding, take_back


@transaction.atomic
def run(run: Run, given: Given, now: datetime) -> Outcome:
    rollout = Rollout.objects.select_related("version", "previous", "run").get(run=run)
    held = wake(rollout, RolloutStatus.LIVE, now) if rollout.status == RolloutStatus.HALTED else None
    if held is not None:
        return held
    if rollout.status != RolloutStatus.LIVE:
        return Stop("rolled_back", "the version was taken back")
    probed = _probe(rollout, given, now) if given.settings.rollout.is_direct else None
    if probed is not None:
        return probed
    return _watch(rollout, given, now)


def _watch(rollout: Rollout, given: Given, now: datetime) -> Outcome:
    decision = watch.look(rollout, given.settings, now)
    match decision.move:
        case MonitorMove.CONFIRM:
            return Wait(now + LOOK_AGAIN, "replay of recent prompts")
        case MonitorMove.ROLL_BACK:
            return _take_back(rollout, Finding.of("monitor", decision), given, now)
        case MonitorMove.END:
            watch.end_holdback(rollout, now)
            return Done({"sentence": decision.sentence, "is_conclusive": decision.is_conclusive})
        case MonitorMove.CONTINUE:
            return Wait(watch.next_look(rollout, given.settings, now), "monitor")


def _take_back(rollout: Rollout, finding: Finding, given: Given, now: datetime) -> Outcome:
    """Where there is no way back a person is asked once: what has fired stays fired, at every look until the last."""
    why_not = take_back(rollout, finding, "monitor", now)
    if not why_not:
        return Stop("rolled_back", finding.sentence)
    sentence = f"{finding.sentence}; {why_not}"
    if not rollout.run.is_answered(why_not):
        return halt(rollout, sentence)
    sentence += "; a person let it stay"
    if watch.is_over(rollout, given.settings, now):
        watch.end_holdback(rollout, now)
        return Done({"sentence": sentence, "is_conclusive": False})
    return Wait(watch.next_look(rollout, given.settings, now), sentence)


def _probe(rollout: Rollout, given: Given, now: datetime) -> Outcome | None:
    """None while the hosts answer by the name: then the watch goes on by what traffic and feedback there is."""
    found = probes.look(rollout, given.settings, now)
    if isinstance(found, Wait):
        return found
    if found.word is probes.Word.ROLL_BACK:
        return _take_back(rollout, Finding("monitor", "transport", found.sentence, found.numbers), given, now)
    return halt(rollout, found.sentence) if found.word is probes.Word.HALT else None
