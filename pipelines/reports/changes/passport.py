"""The passport of a version: one signed file with its facts, which anyone can verify offline."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _

from pipelines.cards import facts_of, version_card
from pipelines.models import ModelVersion
from tenants import ledger
from tenants.crypto import signing
from tenants.models import ApiKey, AuditEvent, Host

FORMAT = "retune-passport-1"


def passport(version: ModelVersion, now: datetime) -> str:
    """`payload` is the JSON text that was signed, byte for byte; whoever reads it needs nothing of ours."""
    payload = json.dumps(facts(version, now), sort_keys=True, ensure_ascii=False, default=str)
    signed = {"format": FORMAT, "payload": payload, "signature": signing.sign(payload.encode())}
    return json.dumps(signed | {"public_key": signing.public_pem()}, indent=1, ensure_ascii=False)


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


@dataclass(frozen=True)
class Verified:
    """`obstacle` says why the file is not what it says it is; empty when it is. `fingerprint` is its key's."""

    facts: dict[str, Any]
    fingerprint: str
    obstacle: str = ""


def verify(text: str, trusted_pem: str = "") -> Verified:
    """Needs no database. Without `trusted_pem` it shows that the file is whole, not who signed it."""
    try:
        found = json.loads(text)
        payload, signature, pem = found["payload"], found["signature"], found["public_key"]
        print_, is_ours = signing.fingerprint(pem), signing.is_signed(payload.encode(), signature, pem)
        facts = json.loads(payload)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return Verified({}, "", _("This is no passport: %(why)s.") % {"why": error})
    if found.get("format") != FORMAT:
        return Verified({}, print_, _("This passport is of another format: %(name)s.") % {"name": found.get("format")})
    if not is_ours:
        return Verified({}, print_, _("The signature does not fit: the file was changed after it was signed."))
    if trusted_pem and signing.fingerprint(trusted_pem) != print_:
        return Verified(facts, print_, _("It is signed, but by another key than the one you trust."))
    return Verified(facts, print_)
