"""Looking through somebody else's eyes: read-only, under a banner, in the ledger, over in an hour.

Staff may look as a reader of a client that they see; an owner as any member of the agency.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.http import HttpRequest
from django.utils import timezone

from agency.actor import Actor, Grant
from tenants import access, scope
from tenants.models import Client, Membership, Role

KEY = "view_as"
LASTS = timedelta(hours=1)


@dataclass(frozen=True)
class Viewing:
    """Whose eyes: `name` for the banner, `grants` of the one who is looked through."""

    name: str
    grants: tuple[Grant, ...]


def start(request: HttpRequest, kind: str, pk: int) -> None:
    """`kind`: client (as a reader of it) or member."""
    request.session[KEY] = {"kind": kind, "pk": pk, "until": (timezone.now() + LASTS).isoformat()}


def stop(request: HttpRequest) -> None:
    request.session.pop(KEY, None)


def seen(request: HttpRequest, actor: Actor) -> tuple[Actor, Viewing | None]:
    """The actor that the pages meet. Asked anew each time: who lost the right to look sees as himself again."""
    said: dict[str, Any] | None = request.session.get(KEY)
    if said is None or datetime.fromisoformat(said["until"]) <= timezone.now():
        return actor, None
    found = _client(actor, said["pk"]) if said["kind"] == "client" else _member(actor, said["pk"])
    return (replace(actor, grants=found.grants), found) if found else (actor, None)


def _client(actor: Actor, pk: int) -> Viewing | None:
    for grant in actor.grants:
        if grant.client_id in (None, pk):
            with scope.client_scope(pk, grant.agency_id):
                row = Client.objects.filter(pk=pk).first()
            if row is not None and grant.covers(row, access.VIEW):
                return Viewing(row.name, (Grant(row.agency_id, row.pk, Role.READER, client=row.slug),))
    return None


def _member(actor: Actor, pk: int) -> Viewing | None:
    if not actor.may(access.ADMINISTER):
        return None
    with scope.agency_scope(actor.agency_id or 0):
        row = Membership.objects.select_related("user", "client").filter(pk=pk).first()
    if row is None:
        return None
    slug = row.client.slug if row.client else ""
    return Viewing(row.user.email, (Grant(row.agency_id, row.client_id, row.role, client=slug),))
