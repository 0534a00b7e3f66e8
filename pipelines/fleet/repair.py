"""Putting back what was placed, where the host's policy says so: the alias by a copy, a version by placing it again."""

from __future__ import annotations

from contextlib import closing
from datetime import datetime

from django.utils.translation import gettext as _

from pipelines.engine import dispatch
from pipelines.fleet.drift import ACTOR, Finding, Kind
from pipelines.hosts import HostError
from pipelines.models import Job
from pipelines.reach import open_row
from tenants.models import AuditEvent, Host, HostDrift

TIMEOUT_S = 30.0
MENDED = frozenset({Kind.GONE, Kind.DIGEST, Kind.ALIAS})


def repair(row: Host, drift: HostDrift, finding: Finding, now: datetime) -> None:
    """Orders it; the next look ends the drift when it worked. What cannot be put back is said on the host's page."""
    if finding.placement.facts.get("is_adopted") and finding.kind is not Kind.ALIAS:
        drift.repair_error = _("The model was adopted: there is no copy to put back, and its name is not ours.")
    elif finding.kind not in MENDED:
        drift.repair_error = _("A host's generation or template choice cannot be put back from here.")
    else:
        try:
            _change_host(row, finding)
            drift.repaired_by = ACTOR
        except HostError as error:
            drift.repair_error = str(error)
    drift.save(update_fields=["repair_error", "repaired_by"])
    if drift.repaired_by:
        if finding.kind is not Kind.ALIAS:
            _place_again(row, drift, finding, now)
        AuditEvent.append(row, ACTOR, "host.repair", row.name, now, {"kind": drift.kind, "model": drift.model_name})


def _change_host(row: Host, finding: Finding) -> None:
    """Only names with a placement of ours are touched. A wrong model goes first: version tags are never overwritten."""
    with closing(open_row(row, TIMEOUT_S)) as host:
        if finding.kind is Kind.ALIAS:
            host.copy(finding.placement.model_name, finding.model_name)
        elif finding.kind is Kind.DIGEST:
            host.delete(finding.model_name)


def _place_again(row: Host, drift: HostDrift, finding: Finding, now: datetime) -> None:
    run = finding.placement.version.run
    fields = {"stage": "deploy", "kind": f"push:{row.name}:repair-{drift.pk}", "queue": "push", "max_attempts": 5}
    job = Job.of(run, run=run, spec={"host": row.pk}, created_at=now, due_at=now, **fields)
    job.save()
    dispatch.work_job(job.client_id, job.pk, job.queue)
