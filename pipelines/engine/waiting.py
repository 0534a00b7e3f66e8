"""What a stage answers while one of its jobs is not through."""

from __future__ import annotations

from datetime import datetime, timedelta

from pipelines.domain.transitions import JobStatus
from pipelines.engine.outcome import Outcome, Stop, Wait
from pipelines.models import Job

# A job's end pokes its run at once; this is for the poke that never came.
LOOK_AGAIN = timedelta(minutes=2)


def waiting_for(job: Job, now: datetime) -> Outcome | None:
    """None when the job has succeeded."""
    match job.status:
        case JobStatus.SUCCEEDED:
            return None
        case JobStatus.FAILED | JobStatus.CANCELLED:
            return Stop("failed", f"{job.kind}: {job.error or 'cancelled'}")
        case _:
            return Wait(now + LOOK_AGAIN, f"job {job.kind}")
