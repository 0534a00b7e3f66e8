"""The last checkpoint of a training that broke off here, kept for the same job: a killed program is no lost hour.

Only what resumes it is kept, for an hour at the most, and it is wiped as soon as this machine takes another job, or its
program ends as it should. A checkpoint tells by its fingerprint which training it is of, so that another one never
takes it up (pipelines/trainers/checkpoint.py); which claim of the job counts is the row's to say, as ever.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from pipelines.trainers import checkpoint

KEPT_S = 3600.0


class Aside:
    """`scratch` is the folder of the job under way, `folder` where its checkpoint waits when the rest is wiped."""

    def __init__(self, scratch: Path, folder: Path) -> None:
        self._work, self._mark, self.folder = scratch / "work", scratch / "job", folder

    def begin(self, job: int) -> None:
        """What lies aside becomes this job's, or goes: a machine does one job at a time."""
        self._mark.write_text(str(job))
        kept = self.folder / str(job) / checkpoint.FILE
        if kept.is_file():
            self._work.mkdir(parents=True, exist_ok=True)
            kept.replace(self._work / checkpoint.FILE)
        self.wipe()

    def keep(self) -> None:
        """Before scratch is wiped, of a job that did not come to its end."""
        found = self._work / checkpoint.FILE
        if self._mark.is_file() and found.is_file():
            self.wipe()
            place = self.folder / self._mark.read_text()
            place.mkdir(parents=True, mode=0o700)
            found.replace(place / checkpoint.FILE)

    def forget_old(self) -> None:
        """Nobody gave the job out again to this machine."""
        kept = list(self.folder.glob(f"*/{checkpoint.FILE}"))
        if any(time.time() - path.stat().st_mtime > KEPT_S for path in kept):
            self.wipe()

    def wipe(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
