"""Starts a piece of heavy work in a process of its own, follows it, and stops it with all that it started."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NotRequired, TypedDict, Unpack

from pipelines.work.child.lines import Follower
from pipelines.work.child.sandbox import Limits, environment

POLL_S = 0.2
GRACE_S = 5.0  # between SIGTERM and SIGKILL: a trainer needs about a second to end a native call
LOG_TAIL_BYTES = 8_192
LOG_TAIL_LINES = 20


@dataclass(frozen=True)
class ChildResult:
    """How a child ended: with `result`, or with `error` (a sentence) and whether trying again can help."""

    result: Mapping[str, Any] | None
    error: str
    permanent: bool
    cancelled: bool
    exit_code: int | None
    signal_name: str
    log_tail: str
    seconds: float

    @property
    def ok(self) -> bool:
        return self.result is not None


class Terms(TypedDict):
    """What every child is given beside its work; `module` is another door than `pipelines.work` (tests).

    `secret` goes to its standard input and so onto no disk; the child finds it as `secret` in its spec.
    """

    scratch: Path
    limits: Limits
    on_line: Callable[[Mapping[str, Any]], None]
    cancelled: Callable[[], bool]
    log_path: Path
    module: NotRequired[str]
    secret: NotRequired[Mapping[str, str]]


def spawn(kind: str, spec: Mapping[str, Any], **terms: Unpack[Terms]) -> ChildResult:
    """Run `python -m <module> <kind> <spec.json>` to its end.

    `on_line` gets each progress line; `cancelled` is asked about every 0.2 s (renew a lease there). Both run in the
    calling thread, which must stay alive: the parent-death signal is tied to it. The child sees an allow-listed
    environment with `scratch` as HOME, TMPDIR and working directory; its whole process group is killed at the end.
    """
    scratch, log_path = terms["scratch"], terms["log_path"]
    scratch.mkdir(parents=True, exist_ok=True)
    spec_path = scratch / "spec.json"
    secret = json.dumps(dict(terms.get("secret") or {}))
    spec_path.write_text(json.dumps({**spec, "has_secret": bool(terms.get("secret"))}))
    arguments = [terms.get("module", "pipelines.work"), kind, str(spec_path.resolve())]
    started = time.monotonic()
    with log_path.open("ab") as log:
        process = start(arguments, scratch, terms["limits"], log.fileno(), stdin=subprocess.PIPE)
        try:
            _hand_over(process, secret)
            follower = Follower(process.stdout, terms["on_line"])
            was_cancelled = _follow(process, follower, terms["cancelled"])
        finally:
            end(process)
    return _settle(process.returncode, follower, was_cancelled, log_path, time.monotonic() - started)


def start(
    arguments: list[str], scratch: Path, limits: Limits, log: int, stdin: int = subprocess.DEVNULL
) -> subprocess.Popen[bytes]:
    """A confined process that becomes the module that `arguments` begin with; `log` gets its stderr. See `end`."""
    sandbox = json.dumps({**asdict(limits), "parent": os.getpid()})
    return subprocess.Popen(
        [sys.executable, "-m", "pipelines.work.child", sandbox, *arguments],
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=log,
        cwd=scratch,
        env=environment(scratch, os.environ, threads=limits.threads),
        start_new_session=True,
    )


def _hand_over(process: subprocess.Popen[bytes], secret: str) -> None:
    """Small enough for the pipe: nobody waits until the child reads it, and one that has ended is told of later."""
    assert process.stdin is not None
    with suppress(BrokenPipeError):
        process.stdin.write(secret.encode())
        process.stdin.close()


def _follow(process: subprocess.Popen[bytes], follower: Follower, cancelled: Callable[[], bool]) -> bool:
    """Read lines until the child has ended; True if it was cancelled on the way."""
    while not _has_ended(process):
        if cancelled():
            _stop(process)
            return True
        follower.read(POLL_S)
    follower.read_rest()
    return False


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether the child has ended, without reaping it: its group id stays ours until the group is killed."""
    if process.returncode is not None:
        return True
    flags = os.WEXITED | os.WNOWAIT | os.WNOHANG
    return os.waitid(os.P_PID, process.pid, flags) is not None


def _stop(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, signal.SIGTERM)
    deadline = time.monotonic() + GRACE_S
    while not _has_ended(process) and time.monotonic() < deadline:
        time.sleep(0.02)


def end(process: subprocess.Popen[bytes]) -> None:
    """Kills it with all that it started, and reaps it."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _settle(code: int, follower: Follower, cancelled: bool, log_path: Path, seconds: float) -> ChildResult:
    tail = log_tail(log_path)
    name = signal.Signals(-code).name if code < 0 else ""
    last = follower.last
    result = last.get("result") if code == 0 and not cancelled else None
    error, permanent = ("", False) if result is not None else _error(last, code, cancelled, tail)
    return ChildResult(result, error, permanent, cancelled, code, name, tail, round(seconds, 3))


def _error(last: Mapping[str, Any], code: int, cancelled: bool, tail: str) -> tuple[str, bool]:
    """The sentence for an end without a result, and whether it is permanent. A signal never is: retries are cheap."""
    if cancelled:
        return "Cancelled.", False
    if "error" in last:
        return str(last["error"]), bool(last.get("permanent", False))
    how = _REASONS.get(-code, f"ended by {signal.Signals(-code).name}") if code < 0 else f"ended with exit code {code}"
    return f"The work {how} without a result. Last log lines:\n{tail}", False


_REASONS: dict[int, str] = {
    signal.SIGKILL: "was killed (SIGKILL, most often because memory ran out)",
    signal.SIGXCPU: "used more processor time than its limit (SIGXCPU)",
    signal.SIGXFSZ: "wrote a file larger than its limit (SIGXFSZ)",
    signal.SIGABRT: "was aborted by native code (SIGABRT)",
    signal.SIGSEGV: "crashed in native code (SIGSEGV)",
}


def log_tail(path: Path) -> str:
    """The last lines that a child wrote to its log."""
    with path.open("rb") as log:
        log.seek(max(0, path.stat().st_size - LOG_TAIL_BYTES))
        lines = log.read().decode("utf-8", "replace").splitlines()
    return "\n".join(lines[-LOG_TAIL_LINES:])
