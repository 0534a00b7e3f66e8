"""The passport of a version: one signed file with its facts, which anyone can verify offline."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pipelines.cards import facts_of, version_card
from pipelines.models import ModelVersion
from tenants import ledger
from tenants.crypto import certificate
from tenants.crypto.certificate import Verified
from tenants.models import ApiKey, AuditEvent, Host

FORMAT = "retune-passport-1"


def passport(version: ModelVersion, now: datetime) -> str:
    return certificate.certified(FORMAT, facts(version, now))


def facts(version: ModelVersion, now: datetime) -> dict[str, Any]:
    """The card, the facts that the ledger keeps, when it served, and the ledger's head: later rows build on it."""
    card = version_card(version)
    card.pop("facts", None)
    chain = ledger.walk(ledger.events_of(version.client_id))
    return {
        "format": FORMAT,
        "issued_at": now.isoformat(),
        "card": card,
        "served_as": facts_of(version),
        "history": _history(version),
        "hosts": list(Host.objects.filter(client_id=version.client_id).values_list("name", flat=True)),
        "keys": [
            f"{key.name} rk_{key.prefix}" for key in ApiKey.objects.filter(client_id=version.client_id, revoked_at=None)
        ],
        "ledger": {"acts": chain.count, "head": chain.head, "is_whole": not chain.broken},
    }


def _history(version: ModelVersion) -> list[dict[str, Any]]:
    """Each act that moved traffic to the version or beside it, with its digest in the chain."""
    acts = AuditEvent.objects.filter(client_id=version.client_id, verb="route.flip").order_by("seq")
    found = [act for act in acts if act.detail.get("pipeline") == version.pipeline.slug and _names(act.detail, version)]
    return [{"seq": a.seq, "at": a.at.isoformat(), "by": a.actor, "said": a.subject, "digest": a.digest} for a in found]


def _names(detail: Mapping[str, Any], version: ModelVersion) -> bool:
    return any((detail.get(arm) or {}).get("version") == version.label for arm in ("production", "candidate"))


def verify(text: str, trusted_pem: str = "") -> Verified:
    return certificate.verify(text, FORMAT, trusted_pem)
