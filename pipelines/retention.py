"""What is kept for some time only: one line per exchange, bodies, traffic by the minute, scratch, old versions."""

from __future__ import annotations

import shutil
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from django.conf import settings

from pipelines.artifacts import wipe_scratch
from pipelines.heavy.errands.received import forget_parts
from pipelines.heavy.retiring.choice import expendable, leaving
from pipelines.heavy.retiring.job import send_off
from pipelines.models import Body, Exchange, Job, Traffic, TrafficSpan, Unit
from pipelines.rollups import begin_of, oldest_minute
from tenants import crossing, scope
from tenants.models import HostSample, Pipeline
from tenants.pipeline_settings import Bodies

# Long enough that no worker still stops a cancelled child in it; short enough to look into after a failure.
SCRATCH_KEPT = timedelta(days=1)


def forget_old_exchanges(now: datetime) -> int:
    """Removes exchanges past their days, client by client, except those that somebody gave feedback on."""
    cut, gone = now - timedelta(days=settings.EXCHANGE_RETENTION_DAYS), 0
    for agency_id, client_id in crossing.ask("all_clients"):
        with scope.client_scope(client_id, agency_id):
            gone += Exchange.objects.filter(client_id=client_id, at__lt=cut, feedback__isnull=True).delete()[0]
    return gone


def forget_old_traffic(now: datetime) -> int:
    """Removes minutes and hours past their days; days stay. A minute that no hour holds yet is not touched."""
    hours, gone = begin_of(Unit.DAY, now - timedelta(days=settings.TRAFFIC_HOUR_DAYS)), 0
    for agency_id, client_id in crossing.ask("all_clients"):
        with scope.client_scope(client_id, agency_id):
            rows = Traffic.objects.filter(client_id=client_id, minute__lt=oldest_minute(now), is_rolled_up=True)
            gone += rows.delete()[0]
            spans = TrafficSpan.objects.filter(client_id=client_id, unit=Unit.HOUR, begins_at__lt=hours)
            gone += spans.delete()[0]
    return gone


def forget_bodies(now: datetime) -> int:
    """Removes bodies past their pipeline's days, and all of a pipeline whose client no longer wants them kept."""
    gone = 0
    for agency_id, client_id in crossing.ask("all_clients"):
        with scope.client_scope(client_id, agency_id):
            for pipeline in Pipeline.objects.filter(client_id=client_id).select_related("revision"):
                # Read as it stands: a redaction that is no longer installed must not end the sweep.
                body = pipeline.revision.body if pipeline.revision else {}
                wanted = Bodies().model_dump() | (body.get("bodies") or {})
                rows = Body.objects.filter(pipeline=pipeline)
                if wanted["keep"]:
                    rows = rows.filter(at__lt=now - timedelta(days=wanted["days"]))
                gone += rows.delete()[0]
    return gone


def retire_versions(now: datetime) -> int:
    """Orders that versions leave their hosts which nobody goes back to soon; what is needed never does.

    Those that a host still holds which was down when it was to let them go are ordered again.
    """
    sent = 0
    for agency_id, client_id in crossing.ask("all_clients"):
        with scope.client_scope(client_id, agency_id):
            for pipeline in Pipeline.objects.filter(client_id=client_id, revision__isnull=False):
                placements = [*leaving(pipeline), *expendable(pipeline, now)]
                sent += sum(send_off(placement, now) for placement in placements)
    return sent


def forget_host_samples(now: datetime) -> int:
    """Removes what is older than its days of every host's health history."""
    cut, gone = now - timedelta(days=settings.HOST_SAMPLE_DAYS), 0
    for agency_id, client_id in crossing.ask("all_clients"):
        with scope.client_scope(client_id, agency_id):
            gone += HostSample.objects.filter(client_id=client_id, at__lt=cut).delete()[0]
    return gone


def forget_handed(now: datetime) -> int:
    """Removes what machines handed in for jobs that ended otherwise: cancelled, failed, or done by somebody else."""
    gone = 0
    for agency_id, client_id in crossing.ask("all_clients"):
        with scope.client_scope(client_id, agency_id):
            over = Job.objects.filter(client_id=client_id, finished_at__lt=now - SCRATCH_KEPT, parts__isnull=False)
            for job in over.distinct():
                forget_parts(job)
                gone += 1
    return gone


def sweep_scratch(now: datetime) -> int:
    """Removes the scratch folders of jobs that ended without doing so themselves: failed, cancelled, or killed late.

    And those of jobs whose client is gone, erased from another machine, and of readers of tables whose process was
    killed; a table is read in minutes.
    """
    gone = 0
    for folder in Path(settings.SCRATCH).glob("table-*"):
        with suppress(FileNotFoundError):  # Its reader has just ended.
            if datetime.fromtimestamp(folder.stat().st_mtime, UTC) < now - SCRATCH_KEPT:
                shutil.rmtree(folder, ignore_errors=True)
                gone += 1
    left = {int(path.name.removeprefix("job-")) for path in Path(settings.SCRATCH).glob("job-*")}
    kept: set[int] = set()
    for agency_id, client_id in crossing.ask("all_clients") if left else ():
        with scope.client_scope(client_id, agency_id):
            jobs = Job.objects.filter(client_id=client_id, pk__in=left).exclude(finished_at__lt=now - SCRATCH_KEPT)
            kept |= set(jobs.values_list("pk", flat=True))
    for pk in left - kept:
        wipe_scratch(pk)
    return gone + len(left - kept)
