"""A new secret key: every sealed secret is opened with the keys there are and sealed again with the first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.apps import apps

from tenants import scope
from tenants.crypto import sealing
from tenants.models import Agency, AuditEvent


@dataclass(frozen=True)
class Resealed:
    """`unreadable` says which secrets no key of this installation opens, and what to do."""

    count: int
    unreadable: tuple[str, ...]


def reseal(actor: str, now: datetime) -> Resealed:
    """Agency by agency; what somebody enters meanwhile stays. Safe to repeat and to break off."""
    count, unreadable = 0, []
    for agency in Agency.objects.order_by("pk"):
        with scope.agency_scope(agency.pk):
            done = 0
            for row in _sealed_rows():
                try:
                    token = sealing.seal(row.place, sealing.unseal(row.place, row.sealed))
                except sealing.Unreadable as shut:
                    unreadable.append(str(shut))
                    continue
                done += type(row).objects.filter(pk=row.pk, sealed=row.sealed).update(sealed=token)
            AuditEvent.append(agency, actor, "secrets.reseal", agency.slug, now, {"count": done})
        count += done
    return Resealed(count, tuple(unreadable))


def _sealed_rows() -> Iterator[Any]:
    """Rows of every model that has a secret: `sealed`, for its `place`."""
    for model in apps.get_models():
        if any(field.name == "sealed" for field in model._meta.concrete_fields):
            yield from model._default_manager.exclude(sealed="")
