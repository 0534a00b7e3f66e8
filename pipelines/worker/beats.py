"""Keeps a claimed job: a thread that says how far it is, and hears when to stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pipelines.worker.files import Claimed
from pipelines.worker.link import Gone, Refused, Stopped, Unknown


class Beats:
    """`is_over`: the job is gone, or this program is asked to end."""

    def __init__(self, job: Claimed, lease_s: float, is_ending: Callable[[], bool]) -> None:
        self._job, self._every_s, self._is_ending = job, max(lease_s / 4, 0.2), is_ending
        self._gone, self._through = threading.Event(), threading.Event()
        self.progress: dict[str, Any] = {"progress": 0.0, "note": "fetching", "numbers": {}}

    def is_over(self) -> bool:
        return self._gone.is_set() or self._is_ending()

    def tell(self, share: float, note: str, numbers: Mapping[str, Any] | None = None) -> None:
        self.progress = {"progress": share, "note": note, "numbers": dict(numbers or {})}

    @contextmanager
    def going(self) -> Iterator[Beats]:
        thread = threading.Thread(target=self._beat, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._through.set()
            thread.join()

    def _beat(self) -> None:
        """A beat that finds no way is tried again: the lease decides, and the first answer tells what it decided."""
        while not self._through.wait(self._every_s):
            began = time.monotonic()
            try:
                body = self._job.body(**self.progress)
                answer = self._job.link.post(self._job.path("beat"), body, self._is_late(began))
            except Stopped:
                continue
            except (Gone, Unknown, Refused):
                answer = {"go_on": False}
            if not answer["go_on"]:
                self._gone.set()
                return

    def _is_late(self, began: float) -> Callable[[], bool]:
        """One that takes longer than the pause between two is told anew, with what is true by then."""
        return lambda: self._through.is_set() or time.monotonic() - began > self._every_s
