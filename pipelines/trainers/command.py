"""The trainer that is a command: a program that the installation's operator registered, in its own environment.

The recipe goes in as JSON on the command's last argument, a folder comes out, and progress as JSON lines on its output.
What comes out is taken as any bundle from outside: the program may be honest and what it loads may not.
"""

from __future__ import annotations

import ctypes
import json
import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.bundles import take
from pipelines.trainers import Order, Progress, Trained, TrainerError, figures, is_figure
from pipelines.trainers.checkpoint import fingerprint
from pipelines.trainers.imported import received
from pipelines.trainers.marker import require_marker, write_marker

PR_SET_PDEATHSIG = 1
LONGEST_LINE = 65_536
LAST_WORDS = 2_000


class CommandTrainer:
    """`order.site`: name, command. Runs in the child's own limits, without a network; dies with it.

    `order.scratch` outlives a kill, so a program that keeps checkpoints there resumes.
    """

    def train(self, order: Order, progress: Progress) -> Trained:
        if done := _finished(order):
            return done
        started = time.monotonic()
        made = order.scratch / "made"
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir(parents=True)
        told = _run(_arguments(order, made), order.scratch, progress)
        bundle = take(made, order.out)
        origin = {"command": str(order.site["name"]), **_told(told)}
        seconds = time.monotonic() - started
        trained = received(order, f"command:{order.site['name']}", bundle, origin, seconds=seconds)
        write_marker(order.out, {"fingerprint": fingerprint(order), "trained": trained.as_dict()})
        progress(1.0, "trained", {})
        return trained


def _finished(order: Order) -> Trained | None:
    try:
        content = require_marker(order.out)
    except TrainerError:
        return None
    if content.get("fingerprint") != fingerprint(order):
        return None
    return Trained(**{**content["trained"], "adapter": order.out})


def _arguments(order: Order, made: Path) -> list[str]:
    """The registered command, and one path more: the order as JSON."""
    path = order.scratch / "order.json"
    checkpoints = order.scratch / "checkpoints"
    checkpoints.mkdir(parents=True, exist_ok=True)
    content = {
        "base": str(order.base),
        "dataset": str(order.dataset),
        "recipe": order.recipe.as_dict(),
        "out": str(made),
        "checkpoints": str(checkpoints),
    }
    path.write_text(json.dumps(content, indent=1))
    return [*shlex.split(str(order.site["command"])), str(path)]


def _run(arguments: list[str], folder: Path, progress: Progress) -> dict[str, Any]:
    """The last result line that the program wrote; its other output goes to the log."""
    told: dict[str, Any] = {}
    try:
        process = subprocess.Popen(
            arguments, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=_environment(),
            preexec_fn=_die_with_parent,  # noqa: PLW1509  This process has no other thread.
        )  # fmt: skip
    except OSError as fault:
        raise TrainerError(
            f"The registered command does not start: {fault.strerror}. See RETUNE_TRAINER_COMMANDS.", permanent=True
        ) from fault
    assert process.stdout is not None
    with process.stdout as lines:
        while raw := lines.readline(LONGEST_LINE):
            line = _parsed(raw)
            if "result" in line and isinstance(line["result"], dict):
                told = line["result"]
            if "error" in line:
                told = {"error": str(line["error"])[:LAST_WORDS], "permanent": line.get("permanent") is True}
            if "progress" in line:
                _report(line, progress)
    if process.wait() != 0 or "error" in told:
        said = told.get("error") or f"it ended with code {process.returncode}; see the log"
        raise TrainerError(f"The registered command failed: {said}", permanent=bool(told.get("permanent")))
    return told


def _environment() -> dict[str, str]:
    """The child's own, which holds no secret, without what would mix our packages into the program's."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _parsed(raw: bytes) -> dict[str, Any]:
    """A JSON object, or nothing: programs print all kinds of things. What is none goes to the log."""
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError):
        os.write(2, raw)
        return {}
    return found if isinstance(found, dict) else {}


def _report(line: Mapping[str, Any], progress: Progress) -> None:
    share, numbers = line["progress"], line.get("numbers")
    plain = figures(numbers) if isinstance(numbers, dict) else {}
    if is_figure(share):
        progress(0.95 * min(max(float(share), 0.0), 1.0), str(line.get("note", ""))[:200], plain)


def _told(told: Mapping[str, Any]) -> dict[str, Any]:
    """What the program says of its training: plain facts, for the version card."""
    words = {str(name)[:40]: value for name, value in told.items() if isinstance(value, str)}
    return words | figures(told)
