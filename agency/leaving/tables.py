"""A client's rows as JSON lines: every table that names a client, found by its columns, less what opens a door."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.db import models

from pipelines.actions.clients.removal import owned_by_clients
from tenants import scope
from tenants.models import ApiKey, Client, HostAgent, Invitation, ShareLink
from tenants.models.owned import AgencyOwned

CHUNK = 1000
# Packed numbers that are made anew from the rows; requests to hosts on their way, which nobody waits for elsewhere.
MADE_ANEW = ("pipelines_signatureblock", "tenants_hostcall")
# What opens a door: sealed secrets, and the digests by which keys, links and invitations are recognised.
SECRETS: dict[type[models.Model], tuple[str, ...]] = {
    ApiKey: ("digest",),
    ShareLink: ("digest",),
    Invitation: ("digest",),
    HostAgent: ("digest",),
}
SEALED = "sealed"


def tables() -> list[type[models.Model]]:
    """Every table of a client's rows, each after those that it cannot be without."""
    left = {model for model in owned_by_clients() if model._meta.db_table not in MADE_ANEW}
    found: list[type[models.Model]] = []
    while left:
        ready = sorted((m for m in left if not needs(m) & left - {m}), key=lambda m: m._meta.db_table)
        found += ready
        left -= set(ready)
    return found


def needs(model: type[models.Model]) -> set[Any]:
    """Tables of which a row of this one must name a row."""
    return {field.related_model for field in model._meta.local_fields if field.is_relation and not field.null}


def columns(model: type[models.Model]) -> list[str]:
    """What is written down of a table."""
    hidden = (*SECRETS.get(model, ()), SEALED)
    return [field.attname for field in model._meta.local_fields if field.attname not in hidden]


def rows_of(model: type[models.Model], client: Client) -> Iterator[dict[str, Any]]:
    """In chunks by number: a server-side cursor would outlive the transaction that carries the scope."""
    last, names = 0, columns(model)
    while True:
        with opened(model, client):
            rows = model._default_manager.filter(client_id=client.pk, pk__gt=last).order_by("pk")
            chunk = list(rows.values(*names)[:CHUNK])
        yield from chunk
        if len(chunk) < CHUNK:
            return
        last = chunk[-1]["id"]


def opened(model: type[models.Model], client: Client) -> scope.Entered:
    """The narrowest scope that sees these rows: memberships are the agency's."""
    if issubclass(model, AgencyOwned):
        return scope.agency_scope(client.agency_id)
    return scope.client_scope(client.pk, client.agency_id)


def line(row: dict[str, Any]) -> bytes:
    return json.dumps(row, ensure_ascii=False, default=plain).encode() + b"\n"


def plain(value: Any) -> Any:
    """Times as ISO 8601 with all their digits, decimals as text."""
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no form in an archive.")
