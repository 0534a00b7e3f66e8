"""The order to erase a client: typed name, reason, nothing under way, a second person where that is switched on."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _

from pipelines.actions.refused import ActionRefused
from pipelines.domain.transitions import LIVE_RUNS, JobStatus, RunStatus
from pipelines.engine.jobs import cancel_jobs
from pipelines.models import Job, Rollout, Run
from pipelines.shipping.ending import RECALL, on_rest
from pipelines.shipping.rollback import Finding, take_back
from tenants.models import AuditEvent, Client, Erasure
from tenants.people import four_eyes
from tenants.people.four_eyes import Topic, TwoPeopleNeeded


@transaction.atomic
def order_erasure(
    client: Client, typed: str, *, actor: str, reason: str, now: datetime, ends_runs: bool = False
) -> Erasure:
    """Inside the agency's scope; carried out by agency.leaving.erasing. Raises `ActionRefused`.

    `ends_runs`: ends what is under way, with the order or not at all.
    """
    check_order(client, typed, reason)
    second = _second_for(client, actor)
    if ends_runs:
        _end_runs(client, actor, now)
    refuse_busy(client)
    fields = {"name": client.name, "slug": client.slug, "reason": reason.strip(), "ordered_by": actor}
    fields |= {"confirmed_by": second}
    row: Erasure = Erasure(agency=client.agency, former_id=client.pk, ordered_at=now, **fields)
    row.save()
    detail = {"reason": row.reason} | ({"confirmed_by": second} if second else {})
    AuditEvent.append(client.agency, actor, "client.erase.order", client.slug, now, detail)
    return row


def _second_for(client: Client, actor: str) -> str:
    try:
        return four_eyes.second_for(client, Topic.ERASURE, actor)
    except TwoPeopleNeeded as needed:
        raise ActionRefused(str(needed)) from needed


def check_order(client: Client, typed: str, reason: str) -> None:
    if typed.strip() != client.name:
        raise ActionRefused(_("Type the client's name as it stands above: %(name)s.") % {"name": client.name})
    if not reason.strip():
        raise ActionRefused(_("Say why: the reason is kept in the ledger."))
    if Erasure.objects.filter(former_id=client.pk).exists():
        raise ActionRefused(_("The erasure of this client is ordered already: carry it out."))


def refuse_busy(client: Client) -> None:
    """Raises `ActionRefused` while anything is under way."""
    live = Run.objects.filter(client=client, status__in=LIVE_RUNS).select_related("pipeline").order_by("pk")
    if names := [f"{run.pipeline.slug} {run.number}" for run in live[:5]]:
        words = {"names": ", ".join(names)}
        raise ActionRefused(_("Runs are under way: %(names)s. Cancel them first, or tick that they end.") % words)
    if Job.objects.filter(client=client, status=JobStatus.RUNNING).exists():
        raise ActionRefused(_("A worker still ends what it was at. Try again in a minute."))


def refuse_late(client: Client, now: datetime) -> None:
    """Raises `ActionRefused` while what was ended goes on elsewhere: a worker that may not have heard of it yet, or a
    training at a service, where the client's rows are still to be removed.
    """
    jobs = Job.objects.filter(client=client)
    lease = timedelta(seconds=settings.JOB_LEASE_S)
    if jobs.filter(status=JobStatus.CANCELLED, heartbeat_at__gt=now - lease).exists():
        raise ActionRefused(_("A worker still ends what it was at. Try again in a minute."))
    if jobs.filter(status=JobStatus.QUEUED, kind=RECALL).exists():
        raise ActionRefused(_("Rows are still being removed at a training service. Try again in a minute."))


def _end_runs(client: Client, actor: str, now: datetime) -> None:
    """Ends them as people end runs, for the order may wait to be carried out: no canary stays without its guardrails.

    Raises `ActionRefused` while a stage is asked.
    """
    for run in Run.objects.filter(client=client, status__in=LIVE_RUNS).order_by("pk"):
        _end_run(run, f"{actor} ended it: the client is erased", actor, now)


def _end_run(run: Run, why: str, actor: str, now: datetime) -> None:
    cancel_jobs(run, now)
    _leave_traffic(run, why, actor, now)
    # Read anew: its end, or that of another one before it, may have come with the traffic.
    run = Run.objects.select_for_update().get(pk=run.pk)
    if not run.is_live:
        return
    if run.status == RunStatus.RUNNING or not run.move(RunStatus.CANCELLED, why, now, verdict="cancelled"):
        raise ActionRefused(_("Run %(n)s is being worked on. Try again in a minute.") % {"n": run.number})
    on_rest(run, now)


def _leave_traffic(run: Run, why: str, actor: str, now: datetime) -> None:
    """All the traffic back to the version before; a first version has none, nor one before that no host holds."""
    in_traffic = Rollout.objects.filter(run=run, status__in=("stepping", "live", "halted"), previous__isnull=False)
    rollout = in_traffic.select_related("version", "previous").first()
    if rollout is not None:
        take_back(rollout, Finding("person", "decision", why, {}), actor, now)
