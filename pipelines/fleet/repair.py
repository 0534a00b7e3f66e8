"""Putting back what was placed, where the host's policy says so: the alias by a copy, a version by placing it again."""

from __future__ import annotations

from contextlib import closing
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from pipelines.domain.transitions import JobStatus
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
# After a try that did not help: a host that is down, or somebody who undoes it, is not met every minute.
AGAIN_AFTER = timedelta(hours=1)
# In a placement's facts: when its alias was last copied back.
TRIED_AT = "alias_tried_at"


def repair_if_due(row: Host, drift: HostDrift, finding: Finding, now: datetime) -> None:
    """What nobody tried yet, and what the last try left as it is. Why it did not help is said on the host's page."""
    why_never = _impossible(finding)
    if why_never:
        _say(drift, why_never)
        return
    tried_at, error = _last_copy(drift, finding) if finding.kind is Kind.ALIAS else _last_push(row, drift, finding)
    if tried_at is None or tried_at + AGAIN_AFTER <= now:
        _repair(row, drift, finding, now)
    else:
        _say(drift, error)


def _impossible(finding: Finding) -> str:
    if finding.placement.facts.get("is_adopted") and finding.kind is not Kind.ALIAS:
        return _("The model was adopted: there is no copy to put back, and its name is not ours.")
    if finding.kind not in MENDED:
        return _("A host's generation or template choice cannot be put back from here.")
    return ""


def _last_copy(drift: HostDrift, finding: Finding) -> tuple[datetime | None, str]:
    """When it was tried for this drift, and why it failed."""
    said = finding.placement.facts.get(TRIED_AT)
    at = datetime.fromisoformat(said) if said else None
    return (at if at and at >= drift.found_at else None), drift.repair_error


def _last_push(row: Host, drift: HostDrift, finding: Finding) -> tuple[datetime | None, str]:
    """Likewise. None lives: hosts are not compared while one does."""
    job = _pushes(row, drift, finding).order_by("-id").first()
    if job is None:
        return None, ""
    return job.finished_at, _("The repair was cancelled.") if job.status == JobStatus.CANCELLED else job.error


def _pushes(row: Host, drift: HostDrift, finding: Finding) -> QuerySet[Job]:
    kind = _kind(row, drift)
    mine = Q(kind=kind) | Q(kind__startswith=f"{kind}.")
    return Job.objects.filter(mine, run=finding.placement.version.run_id)


def _kind(row: Host, drift: HostDrift) -> str:
    """Of the first push; those after it are numbered."""
    return f"push:{row.name}:repair-{drift.pk}"


def _say(drift: HostDrift, error: str) -> None:
    if error == drift.repair_error:
        return
    drift.repair_error = error
    drift.repaired_by = "" if error else drift.repaired_by
    drift.save(update_fields=["repair_error", "repaired_by"])


def _repair(row: Host, drift: HostDrift, finding: Finding, now: datetime) -> None:
    """Orders it; the next look ends the drift when it worked."""
    drift.repair_error = _point_back(row, finding, now) if finding.kind is Kind.ALIAS else ""
    with transaction.atomic():
        if not drift.repair_error:
            drift.repaired_by = ACTOR
            if finding.kind is not Kind.ALIAS:
                _place_again(row, drift, finding, now)
            detail = {"kind": drift.kind, "model": drift.model_name}
            AuditEvent.append(row, ACTOR, "host.repair", row.name, now, detail)
        drift.save(update_fields=["repair_error", "repaired_by"])


def _point_back(row: Host, finding: Finding, now: datetime) -> str:
    """Empty, or why the host did not do it."""
    placement = finding.placement
    placement.facts |= {TRIED_AT: now.isoformat()}
    placement.save(update_fields=["facts"])
    try:
        with closing(open_row(row, TIMEOUT_S)) as host:
            host.copy(placement.model_name, finding.model_name)
    except HostError as error:
        return str(error)
    return ""


def _place_again(row: Host, drift: HostDrift, finding: Finding, now: datetime) -> None:
    """The push takes away what stands under the name, once it has the file to put in its place: nobody else does."""
    run = finding.placement.version.run
    spec: dict[str, Any] = {"host": row.pk}
    if finding.kind is Kind.DIGEST:
        spec |= {INSTEAD_OF: finding.found}
    again = _pushes(row, drift, finding).count()
    kind = _kind(row, drift) + (f".{again}" if again else "")
    fields = {"stage": "deploy", "kind": kind, "queue": "push", "max_attempts": 5}
    job = Job.of(run, run=run, spec=spec, created_at=now, due_at=now, **fields)
    job.save()
    dispatch.work_job(job.client_id, job.pk, job.queue)
