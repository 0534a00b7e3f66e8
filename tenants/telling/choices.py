"""Who wants which mails: chosen on a page, or left by the link in a mail, without an account."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.core import signing
from django.db import transaction

from tenants import scope
from tenants.models import Agency, AuditEvent, Client, MailChoice
from tenants.sharing import StaleEdit

SALT = "retune.mails.leave"
# What an agency's owners must hear of, whatever they chose.
ALWAYS = frozenset({"escalated", "channel_off", "letter"})
DIGEST = 0  # In the place of a client's number.
DIGEST_DAY, DIGEST_HOUR = 0, 7  # Monday, in UTC.


@dataclass(frozen=True)
class Leaving:
    """What the link in a mail says: whose mails about which client end; client 0: the digest."""

    agency_id: int
    client_id: int
    address: str


def wanting(agency_id: int, client_id: int, kind: str, addresses: Iterable[str]) -> list[str]:
    """Those of the addresses that want mails of this kind about this client; from any scope inside the agency."""
    asked = list(dict.fromkeys(addresses))
    if kind in ALWAYS:
        return asked
    with scope.agency_scope(agency_id):
        rows = MailChoice.objects.filter(address__in=[address.lower() for address in asked])
        off = {row.address for row in rows if kind in row.off_kinds or client_id in row.off_clients}
    return [address for address in asked if address.lower() not in off]


def ticket(leaving: Leaving) -> str:
    """Signed and without an end: a mail is read years later, too."""
    return signing.dumps([leaving.agency_id, leaving.client_id, leaving.address], salt=SALT)


def read_ticket(text: str) -> Leaving | None:
    """None for what this installation did not sign."""
    try:
        agency_id, client_id, address = signing.loads(text, salt=SALT)
    except signing.BadSignature:
        return None
    return Leaving(agency_id, client_id, address)


def choice_of(agency_id: int, address: str) -> MailChoice:
    """An unsaved row where nothing was chosen."""
    with scope.agency_scope(agency_id):
        found: MailChoice | None = MailChoice.objects.filter(address=address.lower()).first()
    return found or MailChoice(agency_id=agency_id, address=address.lower())


@transaction.atomic
def leave(leaving: Leaving, now: datetime, *, is_back: bool = False) -> bool:
    """No more mails about this client to this address, or (`is_back`) again. Inside the agency's scope.

    False where that was so already.
    """
    agency = Agency.objects.select_for_update().get(pk=leaving.agency_id)
    row = choice_of(agency.pk, leaving.address)
    if has_left(row, leaving) != is_back:
        return False
    others = [pk for pk in row.off_clients if pk != leaving.client_id]
    if leaving.client_id == DIGEST:
        row.due_at = next_digest(now) if is_back else None
    else:
        row.off_clients = others if is_back else [*others, leaving.client_id]
    row.revision, row.updated_at = row.revision + 1, now
    row.save()
    about = Client.objects.filter(pk=leaving.client_id).first() or agency
    AuditEvent.append(about, row.address, "mails.return" if is_back else "mails.leave", row.address, now)
    return True


def has_left(row: MailChoice, leaving: Leaving) -> bool:
    return row.due_at is None if leaving.client_id == DIGEST else leaving.client_id in row.off_clients


@transaction.atomic
def choose(agency: Agency, address: str, given: dict[str, Any], revision: int, now: datetime) -> MailChoice:
    """`given`: off_kinds, off_clients, digest. Raises `StaleEdit`; inside the agency's scope."""
    agency = Agency.objects.select_for_update().get(pk=agency.pk)
    row = choice_of(agency.pk, address)
    if row.revision != revision:
        raise StaleEdit([])
    row.off_kinds, row.off_clients = sorted(given["off_kinds"]), sorted(given["off_clients"])
    row.due_at = (row.due_at or next_digest(now)) if given["digest"] else None
    row.revision, row.updated_at = revision + 1, now
    row.save()
    detail = {"off_kinds": row.off_kinds, "off_clients": row.off_clients, "digest": bool(row.due_at)}
    AuditEvent.append(agency, row.address, "mails.choose", row.address, now, detail)
    return row


def close_choices(agency_id: int, address: str) -> None:
    """Of somebody who is no member any more: no digest; a row that leaves nothing out goes. Inside the agency's scope.

    What they left out stays: it alone keeps mails from an address that settings may still name.
    """
    mine = MailChoice.objects.filter(agency_id=agency_id, address=address.lower())
    mine.filter(off_kinds=[], off_clients=[]).delete()
    mine.update(due_at=None)


def next_digest(now: datetime) -> datetime:
    """The next Monday at 07:00 UTC after `now`."""
    day = now.replace(hour=DIGEST_HOUR, minute=0, second=0, microsecond=0)
    day += timedelta(days=(DIGEST_DAY - day.weekday()) % 7)
    return day if day > now else day + timedelta(days=7)
