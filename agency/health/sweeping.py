"""What each machine cleans of its own disk, once an hour: by its ticker, or by whichever of its workers comes first.

A machine that only works has no ticker, and fills up by what its tasks fetch and leave: they begin the sweep.
"""

from __future__ import annotations

import os
import socket
import tempfile
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from django.conf import settings
from django.utils.timezone import now

from agency.health.beside import Beside, guarded
from pipelines.retention import SCRATCH_KEPT, sweep_scratch
from pipelines.storage.caching import sweep_drafts, trim_cache

EVERY = timedelta(hours=1)
# Less than the hour: whoever did it last begins its next one no later than that.
LATELY = timedelta(minutes=50)


def sweep_uploads(at: datetime) -> int:
    """Removes what killed processes left of requests, where all that is temporary lies in a folder of ours."""
    folder, gone = Path(tempfile.gettempdir()), 0
    for path in folder.glob("*.upload*") if Path(settings.VAR) in folder.parents else ():
        with suppress(FileNotFoundError):
            if datetime.fromtimestamp(path.stat().st_mtime, UTC) < at - SCRATCH_KEPT:
                path.unlink()
                gone += 1
    return gone


HERE = (sweep_scratch, sweep_drafts, trim_cache, sweep_uploads)


def sweep_here() -> None:
    """Nothing where another process of this machine did so lately. Two at the same time are harmless."""
    if _is_mine(now()):
        for one in HERE:
            guarded(partial(one, now()))


def _is_mine(at: datetime) -> bool:
    # Machines may share the folder, but not their scratch and their cache.
    mark = Path(settings.VAR) / "sweeps" / socket.gethostname()
    mark.parent.mkdir(parents=True, exist_ok=True)
    if mark.exists() and abs(at.timestamp() - mark.stat().st_mtime) < LATELY.total_seconds():
        return False
    mark.touch()
    os.utime(mark, (at.timestamp(), at.timestamp()))
    return True


BESIDE = Beside("sweeps of this machine", EVERY, sweep_here)
