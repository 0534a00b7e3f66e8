"""What tests do to worker processes from outside the product.

Kill one at a named point, or make one kind of job last.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.conf import settings

from pipelines.engine import jobs, kernel
from pipelines.plan import JOBS

LONGEST_HOLD_S = 60.0


def arm() -> None:
    """RETUNE_TEST_KILL=point:name (once per folder), RETUNE_TEST_HOLD=kind (until RETUNE_VAR/release exists).

    RETUNE_TEST_CLOCK=1 writes down how long stages take.
    """
    if wanted := os.environ.get("RETUNE_TEST_KILL"):
        point, _, name = wanted.partition(":")
        kill_at(point, name)
    if kind := os.environ.get("RETUNE_TEST_HOLD"):
        hold(kind)
    if os.environ.get("RETUNE_TEST_CLOCK"):
        time_stages()


def kill_at(point: str, name: str) -> None:
    """Wraps the engine so that the first worker that comes to `point` of stage or job `name` is killed there."""
    owner, attribute, named, is_after = POINTS[point]
    original = getattr(owner, attribute)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        if not is_after and named(args) == name:
            die_once()
        found = original(*args, **kwargs)
        if is_after and found is not None and named((found,)) == name:
            die_once()
        return found

    setattr(owner, attribute, wrapped)


def _stage(args: tuple[Any, ...]) -> str:
    return str(args[0].stage)


def _claimed_kind(args: tuple[Any, ...]) -> str:
    return str(args[0].kind).partition(":")[0]


def _kind(args: tuple[Any, ...]) -> str:
    return _claimed_kind((args[0].job,))


# point -> (module, function, what its first argument is about, after it instead of before)
POINTS: dict[str, tuple[Any, str, Callable[[tuple[Any, ...]], str], bool]] = {
    "claimed": (kernel, "claim", _stage, True),
    "settling": (kernel, "settle", _stage, False),
    "job-claimed": (jobs, "claim", _claimed_kind, True),
    "job-settling": (jobs, "settle", _kind, False),
}


def die_once() -> None:
    mark = Path(settings.VAR) / "killed"
    try:
        mark.touch(exist_ok=False)
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGKILL)


def hold(kind: str) -> None:
    """Jobs of this kind say that they began, and last until they are released."""
    handler = JOBS[kind]

    def held(work: jobs.Work) -> dict[str, Any]:
        folder = Path(settings.VAR)
        (folder / "holding").touch()
        deadline = time.monotonic() + LONGEST_HOLD_S
        while not (folder / "release").exists() and time.monotonic() < deadline and not work.cancelled():
            time.sleep(0.05)
        return handler(work)

    JOBS[kind] = held


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
