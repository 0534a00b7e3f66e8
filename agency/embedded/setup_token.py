"""The token of the first visit: printed on the console, so that only who runs the server can found the agency."""

from __future__ import annotations

import hmac
from pathlib import Path

from django.conf import settings

from agency.embedded.secret import kept
from tenants.models import Agency


def path() -> Path:
    return Path(settings.VAR) / "setup-token"


def current() -> str:
    """The token; made by whoever asks first, also when several processes start at once."""
    return kept(path(), 18)


def is_right(text: str) -> bool:
    """Compared in constant time."""
    return hmac.compare_digest(text.strip().encode(), current().encode())


def is_open() -> bool:
    """Whether the installation still waits for its agency."""
    return not Agency.objects.exists()


def forget() -> None:
    path().unlink(missing_ok=True)


def invitation(url: str) -> str:
    """What the server at `url` prints at start while it has no agency; empty afterwards."""
    if not is_open():
        return ""
    return f"First visit: open {url}/setup/ and enter this token: {current()}"
