"""The embedded installation: web with gateway, three worker clusters, ticker and model host as one process group."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parents[2]
GRACE_S = 15.0


@dataclass(frozen=True)
class Ports:
    web: int = 8420
    host: int = 8434


# django-q2 reads its cluster's name from the environment: set later, by --name, it comes too late.
OWN_ENVIRONMENT = {name: {"Q_CLUSTER_NAME": name} for name in ("pushes", "jobs")}
# Whoever starts the group may be killed without a word: then the kernel tells the children (PR_SET_PDEATHSIG, SIGTERM).
DIE_WITH_PARENT = "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 15); os.execv(sys.argv[1], sys.argv[1:])"


def commands(ports: Ports, var: Path) -> dict[str, list[str]]:
    """Name -> command line. Three clusters, so that a training never delays a rollback."""
    python, manage = sys.executable, str(ROOT / "manage.py")
    return {
        "web": [
            python,
            "-m",
            "uvicorn",
            "agency.asgi:application",
            "--host",
            "127.0.0.1",
            "--port",
            str(ports.web),
            "--no-access-log",
            "--no-proxy-headers",
        ],
        "wakes": [python, manage, "qcluster"],
        "pushes": [python, manage, "qcluster"],
        "jobs": [python, manage, "qcluster"],
        "ticker": [python, manage, "ticker"],
        "host": [python, "-m", "agency.ollama_host", "--port", str(ports.host), "--store", str(var / "host")],
    }


@dataclass
class Group:
    """Child processes whose output is one log with a prefix each, and which end together."""

    log: IO[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    children: dict[str, subprocess.Popen[str]] = field(default_factory=dict)

    def start(self, name: str, command: list[str]) -> None:
        # A session of its own: Ctrl-C reaches only this process, which then ends the children in order.
        own = dict(self.environment) | OWN_ENVIRONMENT.get(name, {}) | {"PYTHONUNBUFFERED": "1"}
        child = subprocess.Popen(
            [sys.executable, "-c", DIE_WITH_PARENT, *command],
            cwd=ROOT,
            env=os.environ | own,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self.children[name] = child
        threading.Thread(target=self._copy, args=(name, child.stdout or ()), daemon=True).start()

    def _copy(self, name: str, lines: Iterable[str]) -> None:
        for line in lines:
            with contextlib.suppress(ValueError):  # The log is closed once the group has ended.
                self.log.write(f"{name:7} | {line}")
                self.log.flush()

    def dead(self) -> list[str]:
        return [name for name, child in self.children.items() if child.poll() is not None]

    def stop(self) -> None:
        """SIGTERM to all, SIGKILL to the process groups of those that do not listen.

        Only the leaders are asked: a cluster whose workers die with it waits half a minute for them.
        """
        for child in self.children.values():
            child.terminate()
        for child in self.children.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(GRACE_S)
        for child in self.children.values():
            _kill_group(child)


def _kill_group(child: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
