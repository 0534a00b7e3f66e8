"""Secrets that the embedded installation makes for itself: once, beside its data, readable by its owner only."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def secret_of(folder: Path) -> str:
    """Django's secret key, in `folder`/secret.key."""
    return kept(folder / "secret.key", 50)


def kept(path: Path, random_bytes: int) -> str:
    """The text in `path`; made by whoever comes first, also when several processes start at once."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        draft.write_text(secrets.token_urlsafe(random_bytes))
        draft.chmod(0o600)
        try:
            os.link(draft, path)
        except FileExistsError:
            pass  # Another process was first: its text counts.
        finally:
            draft.unlink()
    return path.read_text().strip()
