"""The way of a version to all the traffic without a gateway: a replay decides, then a name moves, host by host."""

from __future__ import annotations

from datetime import datetime

from pipelines.domain.canary import Decision
from pipelines.domain.transitions import JobStatus
from pipelines.engine.jobs import ensure_job
from pipelines.engine.outcome import Hold, Wait
from pipelines.engine.waiting import LOOK_AGAIN
from pipelines.models import Rollout

NO_REPLAY = "no replay was possible: it takes the version before on the same host and 50 prompts, kept or held out"


# What a person is asked: an approval of anything else does not answer it.
NOTHING_MORE = "so nothing more can be shown: approve, or cancel"
DIRECT = "applications call the hosts directly"
TURNS = "its host loads one version at a time"


def too_little_shown(rollout: Rollout, decision: Decision | None, why: str) -> Hold | None:
    """`why`: no share of the traffic can show more. None when all of it may move: the pairs exclude harm, or a person
    said so."""
    is_safe = decision is not None and bool(decision.numbers.get("is_safe"))
    if is_safe or rollout.run.is_answered(NOTHING_MORE, rollout.created_at):
        return None
    shown = decision.sentence if decision else NO_REPLAY
    return Hold(f"{shown}; {why}, {NOTHING_MORE}")


def still_moving(rollout: Rollout, now: datetime) -> Hold | Wait | None:
    """None once `:production` names the version on every host. The job of the promotion comes first."""
    given = rollout.run.approvals.get("deploy", [])
    again = sum(datetime.fromisoformat(entry["at"]) > rollout.went_live_at for entry in given)
    job = ensure_job(rollout.run, f"alias:{again}" if again else "alias", "push", {}, now)
    if job.status == JobStatus.SUCCEEDED:
        return None
    if job.status in (JobStatus.FAILED, JobStatus.CANCELLED):
        return Hold(f"the name did not move on every host: {job.error}; approve to try again, or roll back")
    return Wait(now + LOOK_AGAIN, "the name moves on its hosts")
