"""A real Celery worker on Redis and PostgreSQL takes a wake-up that holds nothing but ids."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import Celery

from tests import factories
from tests.environment import VAR
from tests.installation import ROOT, Installation

START_S = 90.0


@pytest.fixture
def worker(on_postgres: Installation, redis_server: str, tmp_path: Path) -> Iterator[Celery]:
    """The sender's side of a broker at which one worker of the queue `default` listens."""
    production = {"RETUNE_ENGINE": "celery", "REDIS_URL": redis_server, "RETUNE_VAR": str(VAR)}
    environment = os.environ | on_postgres.environment | production
    command = [
        sys.executable,
        "-m",
        "celery",
        "-A",
        "agency.celery",
        "worker",
        "-Q",
        "default",
        "-c",
        "1",
        "-P",
        "solo",
    ]
    log = tmp_path / "worker.log"
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=out, stderr=subprocess.STDOUT)
    try:
        yield Celery(broker=redis_server)
        assert process.poll() is None, log.read_text()[-3000:]
    finally:
        process.terminate()
        process.wait(30)


def test_a_wake_up_moves_a_run_under_row_level_security(worker: Celery) -> None:
    run = factories.make_run(at="trigger")

    worker.send_task("pipelines.tasks.wake_run", args=(run.client_id, run.pk), queue="default")

    deadline = time.monotonic() + START_S
    with factories.inside(run):
        while run.events.count() == 0 and time.monotonic() < deadline:
            time.sleep(0.1)
        assert run.events.first().stage == "trigger"
