"""Where a program of ours works on another machine, and the token by which headquarters knows it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def alone_in(folder: Path, program: str) -> Iterator[None]:
    """Two programs in one folder would take each other's files. Raises ValueError."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ValueError(
                f"Another {program} works in {folder}: give this one a RETUNE_WORK_DIR of its own."
            ) from error
        yield


def token() -> str:
    """Raises ValueError."""
    path = os.environ.get("RETUNE_TOKEN_FILE")
    found = Path(path).read_text().strip() if path else os.environ.get("RETUNE_TOKEN", "")
    if not found:
        raise ValueError("RETUNE_TOKEN is empty: the portal shows a token once, when a machine or a host is added.")
    return found
