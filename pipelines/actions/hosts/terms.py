"""What people decide about a host: how we are let in, what it may hold, whether it takes anything new."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from pipelines.actions.refused import ActionRefused
from pipelines.outbound import Access, AccessRefused
from tenants.crypto import sealing
from tenants.models import AuditEvent, Host


def sealed(row: Host, access: Access) -> Host:
    """The row with the access sealed into it, not saved: for asking a host before anything is written.

    Raises AccessRefused.
    """
    found = access.checked()
    row.sealed = sealing.seal(row.place, found.fields()) if found != Access() else ""
    row.access = found.parts()
    return row


@transaction.atomic
def set_access(host: Host, access: Access, *, actor: str, now: datetime) -> None:
    """From the next request on. The ledger keeps what it is, never the secret. Raises ActionRefused."""
    row = _locked(host)
    try:
        sealed(row, access)
    except AccessRefused as refused:
        raise ActionRefused(str(refused)) from refused
    _keep(row, "host.access", actor, now, {"access": row.access}, "sealed", "access")


@transaction.atomic
def set_terms(host: Host, *, actor: str, now: datetime, **terms: Any) -> None:
    """`terms`: memory_bytes, drift_policy, is_enabled; those that are the same already are not noted."""
    row = _locked(host)
    changed = {name: value for name, value in terms.items() if getattr(row, name) != value}
    if not changed:
        return
    detail = {name: [getattr(row, name), value] for name, value in changed.items()}
    for name, value in changed.items():
        setattr(row, name, value)
    row.due_at = now if row.is_enabled else None
    _keep(row, "host.change", actor, now, {"changes": detail}, *changed, "due_at")


@transaction.atomic
def drain(host: Host, *, actor: str, reason: str, now: datetime) -> None:
    """No new version and no traffic that others can take goes there. A rollback still may."""
    row = _locked(host, reason)
    if row.is_drained:
        raise ActionRefused(_("It is drained already, by %(by)s.") % {"by": row.drained_by})
    row.drained_at, row.drained_by, row.drain_reason = now, actor, reason.strip()
    _keep(row, "host.drain", actor, now, {"reason": reason}, "drained_at", "drained_by", "drain_reason")


@transaction.atomic
def undrain(host: Host, *, actor: str, reason: str, now: datetime) -> None:
    """It takes versions and traffic again."""
    row = _locked(host, reason)
    if not row.is_drained:
        raise ActionRefused(_("It is not drained."))
    row.drained_at, row.drained_by, row.drain_reason = None, "", ""
    _keep(row, "host.undrain", actor, now, {"reason": reason}, "drained_at", "drained_by", "drain_reason")


def _locked(host: Host, reason: str | None = None) -> Host:
    if reason is not None and not reason.strip():
        raise ActionRefused(_("Say why: the reason is kept in the ledger."))
    row: Host = Host.objects.select_for_update().get(pk=host.pk)
    return row


def _keep(row: Host, verb: str, actor: str, now: datetime, detail: dict[str, Any], *fields: str) -> None:
    row.save(update_fields=list(fields))
    AuditEvent.append(row, actor, verb, row.name, now, detail)
