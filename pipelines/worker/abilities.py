"""What this machine has: cores, memory, disk, GPUs, and what the trainer would run on."""

from __future__ import annotations

import os
import pkgutil
import shutil
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

from pipelines.worker.updating import digest_of_mine

PATIENCE_S = 20.0


def abilities(folder: Path) -> dict[str, Any]:
    """As the door `machine/hello` takes it."""
    asked = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    gpus = [line.split(",") for line in _said(asked).splitlines() if "," in line]
    return {
        "version": built() or _version("retune"),
        "program": digest_of_mine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        "disk_free_bytes": shutil.disk_usage(folder).free,
        "gpus": [name.strip()[:60] for name, *_rest in gpus],
        "torch": _version("torch"),
        "cuda": f"driver {gpus[0][1].strip()}"[:60] if gpus else "",
    }


def built() -> str:
    """Written into the one file when it is packed."""
    try:
        return (pkgutil.get_data("pipelines.worker", "version.txt") or b"").decode().strip()
    except OSError:
        return ""


def _said(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""
