"""Secrets at rest: sealed by a key that is derived from the secret key, for one place, and readable nowhere else."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings


class Unreadable(RuntimeError):
    """A sealed secret that this installation's keys do not open, or that was sealed for another place."""

    permanent = True


def seal(place: str, secret: dict[str, Any]) -> str:
    """`place` names the row, for example host:<client>:<name>: a token that is copied elsewhere stays shut."""
    return _keys().encrypt(json.dumps({"place": place, "secret": secret}).encode()).decode()


def unseal(place: str, token: str) -> dict[str, Any]:
    """Raises Unreadable; what it says names no secret."""
    try:
        found = json.loads(_keys().decrypt(token.encode()))
    except (InvalidToken, ValueError):
        raise Unreadable(
            f"The secret of {place} cannot be read with this installation's secret key: enter it again, or put the key "
            "that it was sealed with into RETUNE_SECRET_KEY_FALLBACKS"
        ) from None
    if found["place"] != place:
        raise Unreadable(f"The secret of {place} was sealed for another place: enter it again")
    secret: dict[str, Any] = found["secret"]
    return secret


def fingerprints() -> list[str]:
    """Which secret keys this installation has, the one that seals first: 16 hex characters that tell nothing else."""
    found = []
    for key in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS):
        seed = HKDF(hashes.SHA256(), 32, salt=None, info=b"retune fingerprint 1").derive(key.encode())
        found.append(seed.hex()[:16])
    return found


def _keys() -> MultiFernet:
    """AES-128-CBC with HMAC-SHA256 (the Fernet format); the first key seals, all of them open."""
    return MultiFernet(list(_derived()))


def _derived() -> Iterator[Fernet]:
    for key in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS):
        seed = HKDF(hashes.SHA256(), 32, salt=None, info=b"retune sealed 1").derive(key.encode())
        yield Fernet(base64.urlsafe_b64encode(seed))
