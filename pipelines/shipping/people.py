"""What a person may do to a rollout: pause it, resume it, promote it now, let a halted one go on.

Taking it back is rollback.py's.
"""

from __future__ import annotations

from datetime import datetime

from pipelines.domain.transitions import RolloutStatus
from pipelines.engine.outcome import Hold
from pipelines.models import ModelVersion, Rollout, Route
from pipelines.shipping.promotion import promote


def locked(rollout: Rollout) -> Rollout:
    """The rollout as it is now. The route is locked first, as everywhere: the stage and people take turns."""
    Route.objects.select_for_update().filter(pipeline_id=rollout.pipeline_id).first()
    return Rollout.objects.select_related("version", "previous", "run__revision").get(pk=rollout.pk)


def halt(rollout: Rollout, sentence: str) -> Hold:
    """It keeps its share until a person decides.

    Why, and how often its stage was approved before, stays with it: the worker may be lost before the run is held.
    """
    halted = {"reason": sentence, "approvals": _approvals(rollout)}
    rollout.move(RolloutStatus.HALTED, frozen=rollout.frozen | {"halted": halted})
    return Hold(sentence)


def wake(rollout: Rollout, to: RolloutStatus, now: datetime) -> Hold | None:
    """A halted rollout goes on by an approval that is newer than its halt; without one it is held as before.

    What it was halted for is answered: only what fails from now on can halt it again.
    """
    halted = rollout.frozen.get("halted")
    if halted is not None and _approvals(rollout) <= halted["approvals"]:
        return Hold(halted["reason"])
    rollout.move(to, frozen=rollout.settled(now))
    return None


def _approvals(rollout: Rollout) -> int:
    return len(rollout.run.approvals.get(rollout.run.stage, []))


def pause(rollout: Rollout, actor: str, reason: str, now: datetime) -> None:
    """It keeps the share it has. Guardrails go on, and take it back when they fire."""
    _change(rollout, now, actor, reason)


def resume(rollout: Rollout) -> None:
    _change(rollout, None, "", "")


def promote_now(rollout: Rollout, actor: str, now: datetime) -> None:
    """All the traffic, whatever evidence is missing; the monitor watches as always."""
    resume(rollout)
    ModelVersion.objects.filter(pk=rollout.version_id).update(approved_by=actor)
    promote(rollout, now, by=actor)


def _change(rollout: Rollout, at: datetime | None, by: str, reason: str) -> None:
    rollout.paused_at, rollout.paused_by, rollout.pause_reason = at, by, reason
    rollout.save(update_fields=["paused_at", "paused_by", "pause_reason"])
