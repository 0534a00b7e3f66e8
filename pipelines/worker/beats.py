"""Keeps a claimed job while this machine works on it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from pipelines.worker.files import Claimed
from pipelines.worker.kept import Kept


class Beats(Kept):
    """A beat that finds no way is tried again: the lease decides, and the first answer tells what it decided."""

    def __init__(self, job: Claimed, lease_s: float, is_ending: Callable[[], bool]) -> None:
        super().__init__(max(lease_s / 4, 0.2), is_ending)
        self._job = job
        self.progress: dict[str, Any] = {"progress": 0.0, "note": "fetching", "numbers": {}}

    def tell(self, share: float, note: str, numbers: Mapping[str, Any] | None = None) -> None:
        self.progress = {"progress": share, "note": note, "numbers": dict(numbers or {})}

    def say(self) -> Mapping[str, Any]:
        """One that takes longer than the pause between two is told anew, with what is true by then."""
        began = time.monotonic()

        def is_late() -> bool:
            return self._through.is_set() or time.monotonic() - began > self._every_s

        answer: Mapping[str, Any] = self._job.link.post(
            self._job.path("beat"), self._job.body(**self.progress), is_late
        )
        return answer
