"""What waits in a queue: how many are before it, and when it is expected to begin and to be through."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

from pipelines.domain.machines.line import Expected, Pace, expected
from pipelines.domain.transitions import JobStatus
from pipelines.engine.jobs import most_running
from pipelines.models import Job
from tenants import crossing


def waiting(run_ids: Collection[int], now: datetime) -> dict[int, Expected]:
    """{run: what is expected of its job that waits for a worker}; runs that wait for none are left out.

    Three queries for each queue that somebody waits in, and one when nobody does. Inside a scope.
    """
    rows = Job.objects.filter(run__in=run_ids, status=JobStatus.QUEUED, due_at__lte=now) if run_ids else ()
    jobs = {job.run_id: job for job in rows}
    places, paces = dict[int, int](), dict[str, Pace]()
    for queue, agency_id in {(job.queue, job.agency_id) for job in jobs.values()}:
        paces[queue] = pace_of(queue, now)
        asked = {"now": now, "queue": queue, "most": most_running(queue), "agency": agency_id}
        places |= {row[0]: row[1] for row in crossing.ask("places_of_agency", **asked)}
    return {run_id: expected(places.get(job.pk), paces[job.queue], now) for run_id, job in jobs.items()}


def pace_of(queue: str, now: datetime) -> Pace:
    ((running, ended, mean_ms),) = crossing.ask("pace_of_queue", now=now, queue=queue)
    return Pace(running, ended, timedelta(milliseconds=mean_ms))
