"""The completion marker: the last file of a trained adapter, and the only proof that the others are whole."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.trainers import TrainerError

MARKER = "COMPLETE.json"


def file_digest(path: Path) -> str:
    """SHA-256 of a file, as lower-case hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_marker(folder: Path, facts: Mapping[str, Any]) -> None:
    """Record the digest of every file in `folder` with `facts`, synced and renamed into place."""
    files = {
        path.name: file_digest(path) for path in sorted(folder.iterdir()) if path.is_file() and path.name != MARKER
    }
    temporary = folder / f".{MARKER}"
    with temporary.open("w") as file:
        json.dump({"files": files, **facts}, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(folder / MARKER)


def require_marker(folder: Path) -> dict[str, Any]:
    """The marker's content after every file has been compared with it; a permanent TrainerError otherwise.

    A stopped trainer leaves a folder that loads as an adapter, so its presence proves nothing.
    """
    path = folder / MARKER
    if not path.is_file():
        raise TrainerError(f"{folder.name} has no completion marker: its training did not end.", permanent=True)
    content: dict[str, Any] = json.loads(path.read_text())
    for name, digest in content["files"].items():
        if not (folder / name).is_file() or file_digest(folder / name) != digest:
            raise TrainerError(f"{folder.name}/{name} is not the file that the training wrote.", permanent=True)
    return content
