"""What tests do to worker processes from outside the product.

Make one kind of job last, write down how long stages take; kill them at named points (killing.py).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.conf import settings

from pipelines.engine import jobs, kernel
from pipelines.plan import JOBS
from tests.engines import killing

LONGEST_HOLD_S = 60.0


def arm() -> None:
    """RETUNE_TEST_KILL=points (see killing), RETUNE_TEST_HOLD=kind (until RETUNE_VAR/release exists).

    RETUNE_TEST_HOLD_STAGE=name does so with a stage. RETUNE_TEST_CLOCK=1 writes down how long stages take.
    """
    if wanted := os.environ.get("RETUNE_TEST_KILL"):
        killing.arm(wanted)
    if kind := os.environ.get("RETUNE_TEST_HOLD"):
        hold(kind)
    if stage := os.environ.get("RETUNE_TEST_HOLD_STAGE"):
        hold_stage(stage)
    if os.environ.get("RETUNE_TEST_CLOCK"):
        time_stages()


def hold(kind: str) -> None:
    """Jobs of this kind say that they began, and last until they are released."""
    handler = JOBS[kind]

    def held(work: jobs.Work) -> dict[str, Any]:
        wait_for_release(work.cancelled)
        return handler(work)

    JOBS[kind] = held


def hold_stage(name: str) -> None:
    """The same with a stage."""
    original = kernel.ask

    def held(run: Any, *args: Any) -> Any:
        if run.stage == name:
            wait_for_release(lambda: False)
        return original(run, *args)

    kernel.ask = held


def wait_for_release(is_over: Callable[[], bool]) -> None:
    """A line with this process's number in the file `holding` says that it has begun."""
    folder = Path(settings.VAR)
    with (folder / "holding").open("a") as file:
        file.write(f"{os.getpid()}\n")
    deadline = time.monotonic() + LONGEST_HOLD_S
    while not (folder / "release").exists() and time.monotonic() < deadline and not is_over():
        time.sleep(0.05)


def time_stages() -> None:
    """A line `run stage seconds` in asked.log each time that a stage is asked."""
    original = kernel.ask

    def timed(run: Any, *args: Any) -> Any:
        began = time.monotonic()
        outcome = original(run, *args)
        with (Path(settings.VAR) / "asked.log").open("a") as file:
            file.write(f"{run.pk} {run.stage} {time.monotonic() - began:.6f}\n")
        return outcome

    kernel.ask = timed
