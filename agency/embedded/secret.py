"""The embedded installation's secret key: made once, kept beside its data, readable by its owner only."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def secret_of(folder: Path) -> str:
    """The key in `folder`/secret.key; made by whoever comes first, also when several processes start at once."""
    path = folder / "secret.key"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        draft = folder / f".secret.{os.getpid()}"
        draft.write_text(secrets.token_urlsafe(50))
        draft.chmod(0o600)
        try:
            os.link(draft, path)
        except FileExistsError:
            pass  # Another process was first: its key counts.
        finally:
            draft.unlink()
    return path.read_text()
