"""Channels: added, changed, given a new secret, switched, removed; each with its line in the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from django.db import transaction
from django.db.models import Q

from tenants import scope
from tenants.crypto import sealing
from tenants.models import Agency, AuditEvent, Channel, Client
from tenants.sharing import StaleEdit

# How long a secret goes on signing beside the one that follows it: time to change the other side.
BOTH_FOR = timedelta(days=2)


@dataclass(frozen=True, repr=False)
class Leads:
    """Where a channel leads and what makes a message ours. Never printed."""

    url: str
    key: str = ""
    secret: str = ""


def channels_for(client: Client) -> list[Channel]:
    """Those that may be told of this client: its own and the agency's; from any scope inside the agency."""
    with scope.agency_scope(client.agency_id):
        return list(Channel.objects.filter(Q(client=None) | Q(client_id=client.pk)))


@transaction.atomic
def add_channel(
    place: Agency | Client, named: tuple[str, str], leads: Leads, kinds: Sequence[str], *, actor: str, now: datetime
) -> Channel:
    """Of an agency, or of one client. `named`: name and kind."""
    client = place if isinstance(place, Client) else None
    fields: dict[str, Any] = {"agency_id": place.agency_id if isinstance(place, Client) else place.pk}
    fields |= {"name": named[0], "kind": named[1], "host": urlsplit(leads.url).hostname or "", "kinds": sorted(kinds)}
    row = Channel(client=client, created_by=actor, created_at=now, **fields)
    secrets = [[leads.secret, None]] if leads.secret else []
    row.sealed = sealing.seal(row.place, {"url": leads.url, "key": leads.key, "secrets": secrets})
    row.save()
    AuditEvent.append(
        row, actor, "channel.add", row.name, now, {"kind": row.kind, "host": row.host, "kinds": row.kinds}
    )
    return row


@transaction.atomic
def change_kinds(row: Channel, kinds: Sequence[str], revision: int, actor: str, now: datetime) -> None:
    """`revision` is the one that the editor saw. Raises `StaleEdit`."""
    fresh = Channel.objects.select_for_update().get(pk=row.pk)
    if fresh.revision != revision:
        raise StaleEdit([("kinds", ", ".join(fresh.kinds), ", ".join(sorted(kinds)))])
    detail = {"kinds": [fresh.kinds, sorted(kinds)]}
    row.kinds, row.revision = sorted(kinds), revision + 1
    row.save(update_fields=["kinds", "revision"])
    AuditEvent.append(row, actor, "channel.change", row.name, now, detail)


@transaction.atomic
def rotate(row: Channel, secret: str, actor: str, now: datetime) -> datetime:
    """The new secret signs from now on, those before it until the time that is given back."""
    fresh = Channel.objects.select_for_update().get(pk=row.pk)
    kept, until = fresh.secret(), now + BOTH_FOR
    earlier = [[text, ends or until.isoformat()] for text, ends in kept["secrets"]]
    valid = [[text, ends] for text, ends in earlier if now < datetime.fromisoformat(ends)]
    row.sealed = sealing.seal(row.place, kept | {"secrets": [[secret, None], *valid]})
    row.save(update_fields=["sealed"])
    AuditEvent.append(row, actor, "channel.rotate", row.name, now, {"both_until": until.isoformat()})
    return until


@transaction.atomic
def switch_channel(row: Channel, is_on: bool, actor: str, now: datetime, reason: str = "") -> bool:
    """Whether this call switched it. Switched on, it begins without a history of refusals."""
    state = {"disabled_at": None, "disabled_by": ""} if is_on else {"disabled_at": now, "disabled_by": actor}
    found = Channel.objects.filter(pk=row.pk, disabled_at__isnull=not is_on)
    if not found.update(failing_since=None, **state):
        return False
    AuditEvent.append(row, actor, "channel.on" if is_on else "channel.off", row.name, now, {"reason": reason})
    return True


@transaction.atomic
def remove_channel(row: Channel, actor: str, now: datetime) -> None:
    """With the log of its deliveries."""
    AuditEvent.append(row, actor, "channel.remove", row.name, now, {"kind": row.kind, "host": row.host})
    row.delete()
