"""Checkpoints of a training: one file, written beside and renamed, tied to its order by a fingerprint."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from pipelines.trainers import Order
from pipelines.trainers.marker import file_digest

FILE = "checkpoint.pt"


def fingerprint(order: Order) -> str:
    """Digest of all that decides the result: recipe, dataset, base files. Another order never resumes this one."""
    base = {path.name: file_digest(path) for path in sorted(order.base.iterdir()) if path.is_file()}
    facts = {"recipe": order.recipe.as_dict(), "dataset": file_digest(order.dataset), "base": base}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def save(folder: Path, state: dict[str, Any]) -> None:
    """Write `state` (tensors, numbers, strings, lists, dicts), synced and renamed: never half a file under the name."""
    import torch  # On use: a training elsewhere needs the fingerprint only.

    temporary = folder / f".{FILE}"
    with temporary.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(folder / FILE)


def load(folder: Path, wanted: str) -> dict[str, Any] | None:
    """The state saved under the fingerprint `wanted`, or None. Tensors and plain values only: no code is loaded."""
    import torch

    path = folder / FILE
    if not path.is_file():
        return None
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state if state.get("fingerprint") == wanted else None
