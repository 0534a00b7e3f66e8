"""`manage.py ticker`: wakes what is due, every second, until it is told to stop."""

from __future__ import annotations

import logging
import signal
import threading
from argparse import ArgumentParser
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import close_old_connections
from django.utils.timezone import now

from agency.health.heartbeat import Heartbeat
from pipelines.keeping import collect_all
from pipelines.retention import (
    forget_bodies,
    forget_host_samples,
    forget_old_exchanges,
    forget_old_traffic,
    retire_versions,
    sweep_scratch,
)
from pipelines.rollups import roll_up_all
from pipelines.storage.caching import trim_cache
from pipelines.ticker import Ticker

log = logging.getLogger("ticker")
ROLL_UP_EVERY = timedelta(minutes=1)
SWEEP_EVERY = timedelta(hours=1)


SWEEPS = (
    forget_old_exchanges, forget_old_traffic, forget_bodies, forget_host_samples, sweep_scratch, retire_versions,
    collect_all, trim_cache,
)  # fmt: skip


class Command(BaseCommand):
    help = "Wakes due runs, jobs, triggers and notices. Any number may run side by side."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--once", action="store_true", help="one tick, then end")

    def handle(self, *args: Any, **options: Any) -> None:
        ticker, heartbeat, stop = Ticker(), Heartbeat(), threading.Event()
        if options["once"]:
            self.stdout.write(f"{ticker.tick(now())} sent")
            return
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, lambda *_: stop.set())
        swept_at = rolled_up_at = now() - SWEEP_EVERY
        while not stop.wait(settings.TICK_S):
            guarded(lambda: ticker.tick(now()))
            heartbeat.beat_if_due(now())
            if now() - rolled_up_at >= ROLL_UP_EVERY:
                rolled_up_at = now()
                guarded(lambda: roll_up_all(now()))
            if now() - swept_at >= SWEEP_EVERY:
                swept_at = now()
                for sweep in SWEEPS:
                    guarded(partial(sweep, now()))


def guarded(work: Callable[[], int]) -> None:
    """Outlives a database that is away: the next tick finds everything that is still due."""
    try:
        work()
    except Exception:
        log.exception("a tick failed; the next one tries again")
        close_old_connections()
