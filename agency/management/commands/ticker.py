"""`manage.py ticker`: wakes what is due, every second, until it is told to stop."""

from __future__ import annotations

import signal
import threading
from argparse import ArgumentParser
from datetime import timedelta
from functools import partial
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils.timezone import now

from agency.health import pulse
from agency.health.beside import Beside, guarded
from agency.health.heartbeat import heartbeat
from agency.health.sweeping import sweep_here
from pipelines.keeping import collect_all
from pipelines.retention import (
    forget_bodies,
    forget_handed,
    forget_host_samples,
    forget_old_exchanges,
    forget_old_traffic,
    retire_versions,
)
from pipelines.rollups import roll_up_all
from pipelines.ticker import Ticker

ROLL_UP_EVERY = timedelta(minutes=1)
SWEEP_EVERY = timedelta(hours=1)


SWEEPS = (
    forget_old_exchanges, forget_old_traffic, forget_bodies, forget_host_samples, retire_versions, collect_all,
    forget_handed,
)  # fmt: skip


class Command(BaseCommand):
    help = "Wakes due runs, jobs, triggers and notices. Any number may run side by side."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--once", action="store_true", help="one tick, then end")
        parser.add_argument("--alive", action="store_true", help="no tick: fails unless a ticker of this machine ticks")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["alive"]:
            return self.say_whether_alive()
        ticker, stop = Ticker(), threading.Event()
        if options["once"]:
            self.stdout.write(f"{ticker.tick(now())} sent")
            return None
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, lambda *_: stop.set())
        beside = (heartbeat(), Beside("roll-ups", ROLL_UP_EVERY, roll_up), Beside("sweeps", SWEEP_EVERY, sweep))
        while not stop.wait(settings.TICK_S):
            guarded(lambda: signed(ticker.tick(now())))
            for work in beside:
                work.begin_if_due(now())
        return None

    def say_whether_alive(self) -> None:
        if (age_s := pulse.age_s()) > pulse.LATE_S:
            raise CommandError(f"No ticker of this machine has ticked for {age_s:.0f} s.")
        self.stdout.write(f"ticked {age_s:.0f} s ago")


def signed(sent: int) -> int:
    """The tick was whole: says so to whoever asks `--alive`."""
    pulse.give()
    return sent


def roll_up() -> None:
    guarded(lambda: roll_up_all(now()))


def sweep() -> None:
    for one in SWEEPS:
        guarded(partial(one, now()))
    sweep_here()
