"""What a stage answers while one of its jobs is not through."""

from __future__ import annotations

from datetime import datetime, timedelta

from pipelines.domain.transitions import JobStatus
from pipelines.engine.outcome import Outcome, Stop, Wait
from pipelines.models import Job

# What ends elsewhere pokes its run at once; this is for the poke that never came.
LOOK_AGAIN = timedelta(minutes=2)
# A job's end and its poke are one transaction, and a night's queue may be long: thousands of runs wait at little cost.
LOOK_AT_JOB = timedelta(minutes=30)


def waiting_for(job: Job, now: datetime) -> Outcome | None:
    """None when the job has succeeded."""
    match job.status:
        case JobStatus.SUCCEEDED:
            return None
        case JobStatus.FAILED | JobStatus.CANCELLED:
            return Stop("failed", f"{job.kind}: {job.error or 'cancelled'}")
        case _:
            return Wait(now + LOOK_AT_JOB, f"job {job.kind}")
