"""Machines of an agency: added with a token that is shown once, trusted, paused and revoked, each with its line."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from tenants import crossing, scope
from tenants.models import Agency, AuditEvent, Machine
from tenants.models.machine import PREFIX_CHARS, digest_of

QUEUES = ("cpu", "gpu")
SEEN_PRECISION = timedelta(seconds=10)
MOST_SAID = 40


class MachineRefused(ValueError):
    """A machine cannot be added so: the sentence says why. Nothing was changed."""


@transaction.atomic
def add_machine(
    agency: Agency, name: str, queues: Sequence[str], is_trusted: bool, *, actor: str, now: datetime
) -> tuple[Machine, str]:
    """A machine and its token, which is told this once. In the agency's scope. Raises `MachineRefused`."""
    if not queues or set(queues) - set(QUEUES):
        raise MachineRefused(_("A machine takes jobs of at least one of the queues: %(q)s.") % {"q": ", ".join(QUEUES)})
    prefix = secrets.token_hex(PREFIX_CHARS // 2)
    token = f"rm_{prefix}_{secrets.token_urlsafe(32)}"
    fields: dict[str, Any] = {"name": name, "queues": sorted(queues), "is_trusted": is_trusted, "created_at": now}
    row = Machine(agency=agency, prefix=prefix, digest=digest_of(token), **fields)
    try:
        with transaction.atomic():
            row.save()
    except IntegrityError as error:
        raise MachineRefused(_("There is a machine of this name already.")) from error
    detail = {"queues": row.queues, "trusted": is_trusted, "token": f"rm_{prefix}"}
    AuditEvent.append(agency, actor, "machine.add", name, now, detail)
    return row, token


@transaction.atomic
def change_machine(machine: Machine, order: str, *, actor: str, reason: str, now: datetime) -> None:
    """`order`: trust, distrust, pause, resume or revoke. In the agency's scope."""
    changes: dict[str, dict[str, Any]] = {
        "trust": {"is_trusted": True},
        "distrust": {"is_trusted": False},
        "pause": {"paused_at": now},
        "resume": {"paused_at": None},
        "revoke": {"revoked_at": now},
    }
    for name, value in changes[order].items():
        setattr(machine, name, value)
    machine.save(update_fields=list(changes[order]))
    AuditEvent.append(machine.agency, actor, f"machine.{order}", machine.name, now, {"reason": reason})


def machine_of(token: str) -> Machine | None:
    """The machine with this token, unless it is unknown or revoked. Found by digest: no text is compared."""
    found = crossing.ask("machine_by_digest", digest=digest_of(token))
    if not found:
        return None
    agency_id, pk = found[0]
    with scope.agency_scope(agency_id):
        return Machine.objects.select_related("agency").get(pk=pk)


def note_seen(machine: Machine, now: datetime, said: Mapping[str, Any] | None = None) -> None:
    """At most one write in ten seconds, unless it says what it has."""
    changes: dict[str, Any] = {"last_seen_at": now}
    if said is not None:
        changes["abilities"] = dict(list(said.items())[:MOST_SAID])
    elif machine.last_seen_at is not None and now - machine.last_seen_at < SEEN_PRECISION:
        return
    fresh = Q() if said is not None else Q(last_seen_at__isnull=True) | Q(last_seen_at__lt=now)
    with scope.agency_scope(machine.agency_id):
        Machine.objects.filter(fresh, pk=machine.pk).update(**changes)
