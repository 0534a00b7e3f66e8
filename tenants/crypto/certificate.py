"""A signed file: facts as JSON text, a signature over that text, the key. Whoever reads it needs nothing of ours."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from tenants.crypto import signing


@dataclass(frozen=True)
class Verified:
    """`obstacle` says why the file is not what it says it is; empty when it is. `fingerprint` is its key's."""

    facts: dict[str, Any]
    fingerprint: str
    obstacle: str = ""


def certified(form: str, facts: dict[str, Any]) -> str:
    """`payload` is the JSON text that was signed, byte for byte."""
    payload = json.dumps(facts, sort_keys=True, ensure_ascii=False, default=str)
    signed = {"format": form, "payload": payload, "signature": signing.sign(payload.encode())}
    return json.dumps(signed | {"public_key": signing.public_pem()}, indent=1, ensure_ascii=False)


def verify(text: str, form: str, trusted_pem: str = "") -> Verified:
    """Needs no database. Without `trusted_pem` it shows that the file is whole, not who signed it."""
    try:
        found = json.loads(text)
        payload, signature, pem = found["payload"], found["signature"], found["public_key"]
        print_, is_ours = signing.fingerprint(pem), signing.is_signed(payload.encode(), signature, pem)
        facts = json.loads(payload)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return Verified({}, "", _("This is no passport or certificate: %(why)s.") % {"why": error})
    if found.get("format") != form:
        words = {"name": found.get("format")}
        return Verified({}, print_, _("This passport or certificate is of another format: %(name)s.") % words)
    if not is_ours:
        return Verified({}, print_, _("The signature does not fit: the file was changed after it was signed."))
    if trusted_pem and signing.fingerprint(trusted_pem) != print_:
        return Verified(facts, print_, _("It is signed, but by another key than the one you trust."))
    return Verified(facts, print_)
