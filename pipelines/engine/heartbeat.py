"""Heartbeats: a thread that renews the lease of a run or a job for as long as its worker lives and works on it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.db import close_old_connections, connection

from tenants import scope

log = logging.getLogger(__name__)


@contextmanager
def beating(name: str, every_s: float, renew: Callable[[], None]) -> Iterator[None]:
    """Calls `renew` each `every_s` in the scope of the caller, by a database connection of its own."""
    stop, owner = threading.Event(), scope.current()

    def beat() -> None:
        try:
            while not stop.wait(every_s):
                with scope.entered(owner):
                    _try(name, renew)
        finally:
            connection.close()

    thread = threading.Thread(target=beat, name=f"heartbeat of {name}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _try(name: str, renew: Callable[[], None]) -> None:
    try:
        renew()
    except Exception:
        # The database may be away for a while; the lease is what decides.
        log.warning("heartbeat of %s failed", name, exc_info=True)
        close_old_connections()
