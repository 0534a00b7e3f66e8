"""Putting back what was placed, where the host's policy says so: the alias by a copy, a version by placing it again."""

from __future__ import annotations

from contextlib import closing
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from pipelines.engine import dispatch
from pipelines.fleet.drift import ACTOR, Finding, Kind
from pipelines.hosts import HostError
from pipelines.models import Job
from pipelines.reach import open_row
from tenants.models import AuditEvent, Host, HostDrift

TIMEOUT_S = 30.0
# In a push's spec: the digest of what may be deleted under the version's name.
INSTEAD_OF = "instead_of"
MENDED = frozenset({Kind.GONE, Kind.DIGEST, Kind.ALIAS})


def repair(row: Host, drift: HostDrift, finding: Finding, now: datetime) -> None:
    """Orders it; the next look ends the drift when it worked. What cannot be put back is said on the host's page."""
    if finding.placement.facts.get("is_adopted") and finding.kind is not Kind.ALIAS:
        drift.repair_error = _("The model was adopted: there is no copy to put back, and its name is not ours.")
    elif finding.kind not in MENDED:
        drift.repair_error = _("A host's generation or template choice cannot be put back from here.")
    elif finding.kind is Kind.ALIAS:
        drift.repair_error = _point_back(row, finding)
    with transaction.atomic():
        if not drift.repair_error:
            drift.repaired_by = ACTOR
            if finding.kind is not Kind.ALIAS:
                _place_again(row, drift, finding, now)
            detail = {"kind": drift.kind, "model": drift.model_name}
            AuditEvent.append(row, ACTOR, "host.repair", row.name, now, detail)
        drift.save(update_fields=["repair_error", "repaired_by"])


def _point_back(row: Host, finding: Finding) -> str:
    """Empty, or why the host did not do it."""
    try:
        with closing(open_row(row, TIMEOUT_S)) as host:
            host.copy(finding.placement.model_name, finding.model_name)
    except HostError as error:
        return str(error)
    return ""


def _place_again(row: Host, drift: HostDrift, finding: Finding, now: datetime) -> None:
    """The push takes away what stands under the name, once it has the file to put in its place: nobody else does."""
    run = finding.placement.version.run
    spec: dict[str, Any] = {"host": row.pk}
    if finding.kind is Kind.DIGEST:
        spec |= {INSTEAD_OF: finding.found}
    fields = {"stage": "deploy", "kind": f"push:{row.name}:repair-{drift.pk}", "queue": "push", "max_attempts": 5}
    job = Job.of(run, run=run, spec=spec, created_at=now, due_at=now, **fields)
    job.save()
    dispatch.work_job(job.client_id, job.pk, job.queue)
