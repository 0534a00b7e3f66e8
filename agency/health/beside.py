"""Work that is done beside the ticks: however long it takes, no wake-up waits for it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import close_old_connections, connections

log = logging.getLogger(__name__)


@dataclass
class Beside:
    """Begins `work` in a thread every so often, and never twice at a time."""

    name: str
    every: timedelta
    work: Callable[[], None]
    next_at: datetime | None = None
    thread: threading.Thread | None = field(default=None, repr=False)

    def begin_if_due(self, now: datetime) -> bool:
        """Whether it was begun."""
        is_busy = self.thread is not None and self.thread.is_alive()
        if is_busy or (self.next_at is not None and now < self.next_at):
            return False
        self.next_at = now + self.every
        self.thread = threading.Thread(target=self._run, name=self.name, daemon=True)
        self.thread.start()
        return True

    def _run(self) -> None:
        try:
            self.work()
        finally:
            connections.close_all()


def guarded(work: Callable[[], int]) -> None:
    """Outlives a database that is away: the next tick finds everything that is still due."""
    try:
        work()
    except Exception:
        log.exception("failed; the next one tries again")
        close_old_connections()
