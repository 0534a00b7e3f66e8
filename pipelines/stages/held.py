"""While a run is held in deploy or monitor: the guardrails of a version in traffic go on, and they alone speak."""

from __future__ import annotations

from datetime import datetime, timedelta

from pipelines import outbox
from pipelines.domain.canary import Move
from pipelines.domain.monitor import MonitorMove
from pipelines.domain.transitions import RolloutStatus
from pipelines.engine.kernel import check_own
from pipelines.models import Rollout, Run
from pipelines.shipping import canary, watch
from pipelines.shipping.alias import probes
from pipelines.shipping.back import insisting
from pipelines.shipping.people import locked
from pipelines.shipping.rollback import Finding, take_back
from tenants.pipeline_settings import PipelineSettings

IN_TRAFFIC = (RolloutStatus.STEPPING, RolloutStatus.LIVE, RolloutStatus.HALTED)


def guard(run: Run, now: datetime) -> datetime | None:
    """Takes the version back when its guardrails say so. Gives when to look again; None where no user meets it.

    A person who decided first has decided: raises `TakenOver`. One who comes later waits for the look.
    """
    found = Rollout.objects.filter(run=run).first()
    if found is None:
        return None
    rollout, settings = locked(found), run.revision.settings
    check_own(run)
    if rollout.status not in IN_TRAFFIC or not (rollout.live_at or rollout.step_started_at):
        return None
    if rollout.live_at is None:
        _look_at_canary(rollout, settings, now)
    elif rollout.previous is not None:
        _look_at_live(rollout, settings, now)
    return now + timedelta(seconds=settings.rollout.check_every_s)


def _look_at_canary(rollout: Rollout, settings: PipelineSettings, now: datetime) -> None:
    decision = canary.look(rollout, settings, now)
    if decision.move is Move.ROLL_BACK:
        _take_back(rollout, Finding.of("canary", decision), "canary analysis", now)


def _look_at_live(rollout: Rollout, settings: PipelineSettings, now: datetime) -> None:
    finding = _probed(rollout, settings, now) if settings.rollout.is_direct else None
    if finding is None:
        decision = watch.look(rollout, settings, now)
        finding = Finding.of("monitor", decision) if decision.move is MonitorMove.ROLL_BACK else None
    if finding is not None:
        _take_back(rollout, finding, "monitor", now)


def _take_back(rollout: Rollout, finding: Finding, decided_by: str, now: datetime) -> None:
    """Where there is no way back now, each look tries again; who was asked about something else is told of it once."""
    run, why_not = rollout.run, take_back(rollout, finding, decided_by, now)
    if why_not and not run.reason.endswith(why_not):
        told = {"rollback": f"of run {run.pk}", "to": rollout.beside.label, "given_up": ""}
        outbox.notify(run, insisting.KIND, now, told | {"reason": f"{finding.sentence}; {why_not}"})


def _probed(rollout: Rollout, settings: PipelineSettings, now: datetime) -> Finding | None:
    found = probes.look(rollout, settings, now)
    if isinstance(found, probes.Probed) and found.word is probes.Word.ROLL_BACK:
        return Finding("monitor", "transport", found.sentence, found.numbers)
    return None
