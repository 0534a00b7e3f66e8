"""Standard Webhooks: a signed POST that a program verifies with a secret it shares with us.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
import time
from typing import Any

from pipelines.notifiers.events import Event, Target
from pipelines.notifiers.posting import post

PREFIX = "whsec_"
SECRET_BYTES = (24, 64)  # The specification's bounds.


class WebhookPoster:
    """Signed anew at each try, with every secret that is valid: `webhook-timestamp` says when it was sent."""

    def post(self, event: Event, target: Target) -> int:
        body = json.dumps(document(event), ensure_ascii=False, separators=(",", ":")).encode()
        at = int(time.time())
        signed = " ".join(signature(secret, event.message_id, at, body) for secret in target.secrets)
        headers = {"webhook-id": event.message_id, "webhook-timestamp": str(at), "webhook-signature": signed}
        return post(target, body, headers)


def document(event: Event) -> dict[str, Any]:
    kept = event.kept()
    told = ("agency", "client", "pipeline", "what", "tone", "subject", "safe", "headline", "reasons", "advice", "url")
    data = {name: kept[name] for name in told} | {"incident": event.incident or None, "is_over": event.is_over}
    return {"type": f"retune.{event.kind}", "timestamp": kept["at"], "data": data}


def signature(secret: str, message_id: str, at: int, body: bytes) -> str:
    """`v1,` and the base64 of HMAC-SHA256 over id, time and body."""
    signed = f"{message_id}.{at}.".encode() + body
    return f"v1,{base64.b64encode(hmac.new(_key(secret), signed, hashlib.sha256).digest()).decode()}"


def new_secret() -> str:
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def is_secret(text: str) -> bool:
    """Whether it can sign: `whsec_` and the base64 of 24 to 64 bytes."""
    try:
        key = _key(text)
    except (binascii.Error, ValueError):
        return False
    return text.startswith(PREFIX) and SECRET_BYTES[0] <= len(key) <= SECRET_BYTES[1]


def _key(secret: str) -> bytes:
    return base64.b64decode(secret.removeprefix(PREFIX), validate=True)
