"""The ticker's sign of life on its own machine: a file, so that no database has to be asked for it."""

from __future__ import annotations

import math
import socket
import time
from pathlib import Path

from django.conf import settings

LATE_S = 60.0


def give() -> None:
    path = _path()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def age_s() -> float:
    """Seconds since the last whole tick of this machine; infinite where there never was one."""
    try:
        return time.time() - _path().stat().st_mtime
    except FileNotFoundError:
        return math.inf


def _path() -> Path:
    # Machines may share the folder.
    return Path(settings.VAR) / "ticks" / socket.gethostname()
