"""Installations with real workers and a ticker: django-q2 on SQLite, Celery on Redis and PostgreSQL."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from django.conf import settings
from django.db import connection

from agency.celery import app
from agency.embedded.processes import DIE_WITH_PARENT, OWN_ENVIRONMENT, Ports, commands
from pipelines.engine import dispatch
from tests.installation import Installation

WORKER = str(Path(__file__).with_name("worker.py"))
ROOT = Path(__file__).resolve().parents[2]
GRACE_S = 15.0
# Short enough for a test; long enough for a machine that is busy with other things.
QUICK = {"RETUNE_LEASE_S": "3", "RETUNE_JOB_LEASE_S": "3", "RETUNE_TICK_S": "0.2", "RETUNE_RETRY_BASE_S": "0.5"}
CELERY = ["celery", "-A", "agency.celery", "worker", "--without-gossip", "--without-mingle", "--without-heartbeat"]


@dataclass
class Workers:
    """Worker processes of one installation, each the leader of its own process group."""

    log: IO[str]
    environment: Mapping[str, str]
    running: dict[str, subprocess.Popen[str]] = field(default_factory=dict)

    def start(self, name: str, arguments: list[str], **more: str) -> None:
        env = os.environ | dict(self.environment) | OWN_ENVIRONMENT.get(name, {}) | more
        command = [sys.executable, "-c", DIE_WITH_PARENT, sys.executable, WORKER, *arguments]
        self.running[name] = subprocess.Popen(
            command, cwd=ROOT, env=env, stdout=self.log, stderr=self.log, text=True, start_new_session=True
        )

    def kill(self, name: str) -> None:
        """kill -9, the whole group: as a machine that loses its power."""
        child = self.running.pop(name)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()

    def stop(self) -> None:
        for child in self.running.values():
            child.terminate()  # The leader only: it ends its own children in order.
        deadline = time.monotonic() + GRACE_S
        for name in list(self.running):
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.running[name].wait(max(deadline - time.monotonic(), 0.1))
            self.kill(name)


@contextmanager
def embedded(var: Path, **more: str) -> Iterator[Workers]:
    """The command lines of `manage.py up`, on the SQLite file of this test."""
    env = {"RETUNE_ENGINE": "q2", "DATABASE_URL": f"sqlite://{connection.settings_dict['NAME']}"}
    with _sending_by("q2"), _workers(var, env | more) as workers:
        for name, command in commands(Ports(), var).items():
            if "manage.py" in command[1]:
                workers.start(name, command[2:])
        yield workers


@contextmanager
def production(var: Path, installation: Installation, redis_url: str, **more: str) -> Iterator[Workers]:
    """Two Celery workers and a ticker, as the app's role; this process sends through the same Redis."""
    env = installation.environment | {"RETUNE_ENGINE": "celery", "REDIS_URL": redis_url}
    app.conf.broker_url = redis_url
    with _sending_by("celery"), _workers(var, env | more) as workers:
        workers.start("default", [*CELERY, "-c", "2", "-Q", "default", "-n", "default@%h"])
        workers.start("heavy", [*CELERY, "-c", "1", "-Q", "cpu,gpu,push", "-n", "heavy@%h"])
        workers.start("ticker", ["ticker"])
        yield workers


@contextmanager
def _workers(var: Path, environment: Mapping[str, str]) -> Iterator[Workers]:
    own = {"RETUNE_VAR": str(var), "RETUNE_SECRET_KEY": settings.SECRET_KEY, "RETUNE_LOG_LEVEL": "INFO"}
    with (var / "workers.log").open("a") as log:
        workers = Workers(log, QUICK | own | dict(environment))
        try:
            yield workers
        finally:
            workers.stop()


@contextmanager
def _sending_by(name: str) -> Iterator[None]:
    """This process sends its wake-ups by engine `name`."""
    before = settings.ENGINE
    settings.ENGINE = name
    dispatch.engine.cache_clear()
    try:
        yield
    finally:
        settings.ENGINE = before
        dispatch.engine.cache_clear()


def until(said: str, is_so: Callable[[], bool], timeout_s: float = 60.0, log: Path | None = None) -> None:
    """Polls. Fails with what was waited for, and the end of the workers' log."""
    deadline = time.monotonic() + timeout_s
    while not is_so():
        if time.monotonic() > deadline:
            tail = log.read_text()[-4000:] if log else ""
            raise AssertionError(f"{said}: not within {timeout_s:g} s\n{tail}")
        time.sleep(0.05)
