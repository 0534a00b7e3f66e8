"""Model child processes: one per base blob, at most three, evicted by keep_alive; requests to one wait in line."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO

from agency.ollama_host.store.disk import Manifest
from agency.ollama_host.wire import FOREVER, Refused, now

KEEP_ALIVE_S = 300.0
MAX_QUEUE = 512
LINE_BYTES = 64 << 20
ROOT = Path(__file__).resolve().parents[2]
PASSED = ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV", "LD_LIBRARY_PATH")
BUSY = "server busy, please try again.  maximum pending requests exceeded"


def child_environment() -> dict[str, str]:
    """What a model process may see: no database, queue or secret of ours."""
    fixed = {"PYTHONPATH": str(ROOT), "OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0", "GGML_NO_BACKTRACE": "1"}
    return {name: os.environ[name] for name in PASSED if name in os.environ} | fixed


def child_command(*arguments: str) -> tuple[str, ...]:
    return sys.executable, "-m", "agency.ollama_host.runner", *arguments


@dataclass(frozen=True, slots=True)
class Want:
    """What a request needs loaded. `reload_key` is what a real host compares before it loads anew."""

    manifest: Manifest
    blob: Path
    adapter: Path | None
    num_ctx: int
    reload_key: tuple[Any, ...]
    threads: int
    size_bytes: int
    details: dict[str, Any]  # taken at load: the config may be deleted while the model still runs


@dataclass(slots=True, eq=False)
class Runner:
    want: Want
    process: asyncio.subprocess.Process
    num_ctx: int
    keep_alive_s: float = KEEP_ALIVE_S
    expires_at: datetime = field(default_factory=now)
    users: int = 0
    asked: int = 0
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    idle: asyncio.Event = field(default_factory=asyncio.Event)
    timer: asyncio.TimerHandle | None = None

    @property
    def is_alive(self) -> bool:
        return self.process.returncode is None

    async def ask(self, ask: dict[str, Any]) -> AsyncGenerator[dict[str, Any]]:
        """Lines of one answer; the last has `done`. Raises Refused with the child's status, 500 if the child died."""
        async with self.turn:
            self.asked += 1
            number, is_over = self.asked, False
            try:
                await self._send({**ask, "id": number})
                while not is_over:
                    line = await self._line(number)
                    is_over = "done" in line or "error" in line
                    if "error" in line:
                        raise Refused(line["status"], line["error"])
                    yield line
            finally:
                if not is_over and self.is_alive:
                    await self._send({"ask": "cancel", "id": number})

    async def _send(self, document: dict[str, Any]) -> None:
        assert self.process.stdin
        with suppress(BrokenPipeError, ConnectionResetError):  # a dead child shows at the next read
            self.process.stdin.write(json.dumps(document).encode() + b"\n")
            await self.process.stdin.drain()

    async def _line(self, number: int) -> dict[str, Any]:
        """The next line of this ask; those of a cancelled one before it are skipped."""
        assert self.process.stdout
        while data := await self.process.stdout.readline():
            line: dict[str, Any] = json.loads(data)
            if line.get("id") == number:
                return line
        raise Refused(500, f"llama runner process has terminated: {_ending(await self.process.wait())}")

    async def close(self) -> None:
        if self.timer:
            self.timer.cancel()
        if self.is_alive:
            with suppress(ProcessLookupError):
                self.process.kill()
        await self.process.wait()


def _ending(code: int) -> str:
    return f"signal: {signal.strsignal(-code)}" if code < 0 else f"exit status {code}"


class Scheduler:
    def __init__(self, max_loaded: int, log: Path, max_queue: int = MAX_QUEUE) -> None:
        self.max_loaded, self.log, self.max_queue = max_loaded, log, max_queue
        self.runners: dict[Path, Runner] = {}
        self.loading = asyncio.Lock()
        self.pending = 0
        self.closing: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def lease(self, want: Want, keep_alive_s: float | None) -> AsyncIterator[Runner]:
        """A loaded runner for the time of one request; its keep_alive timer restarts at the end."""
        runner = self._fitting(want) or await self._load_in_turn(want)
        runner.users += 1
        runner.idle.clear()
        if keep_alive_s is not None:
            runner.keep_alive_s = keep_alive_s
        try:
            yield runner
        finally:
            runner.users -= 1
            if runner.users == 0:
                runner.idle.set()
            self._rearm(runner)

    def _fitting(self, want: Want) -> Runner | None:
        runner = self.runners.get(want.blob)
        return runner if runner and runner.is_alive and runner.want.reload_key == want.reload_key else None

    async def _load_in_turn(self, want: Want) -> Runner:
        if self.pending >= self.max_queue:
            raise Refused(503, BUSY)
        self.pending += 1
        try:
            async with self.loading:
                return self._fitting(want) or await self._load(want)
        finally:
            self.pending -= 1

    async def _load(self, want: Want) -> Runner:
        if former := self.runners.get(want.blob):
            await self._retire(former)
        while len(self.runners) >= self.max_loaded:
            await self._retire(min(self.runners.values(), key=_eviction_order))
        runner = self.runners[want.blob] = await start(want, self.log)
        runner.idle.set()
        return runner

    async def _retire(self, runner: Runner) -> None:
        while runner.is_alive and runner.users:
            await runner.idle.wait()
        self._forget(runner)
        await runner.close()

    def _forget(self, runner: Runner) -> None:
        if self.runners.get(runner.want.blob) is runner:
            del self.runners[runner.want.blob]

    def _rearm(self, runner: Runner) -> None:
        if runner.timer:
            runner.timer.cancel()
        if not runner.is_alive or (runner.users == 0 and runner.keep_alive_s == 0):
            self._close_soon(runner)
            return
        runner.expires_at = now() + min(FOREVER, timedelta(seconds=min(runner.keep_alive_s, FOREVER.total_seconds())))
        if runner.keep_alive_s < FOREVER.total_seconds():
            runner.timer = asyncio.get_running_loop().call_later(runner.keep_alive_s, self._expire, runner)

    def _expire(self, runner: Runner) -> None:
        if runner.users == 0:
            self._close_soon(runner)

    def _close_soon(self, runner: Runner) -> None:
        self._forget(runner)
        task = asyncio.get_running_loop().create_task(runner.close())
        self.closing.add(task)
        task.add_done_callback(self.closing.discard)

    def unload(self, blob: Path) -> None:
        """Let a model go as soon as nobody uses it; answers at once."""
        if runner := self.runners.get(blob):
            runner.keep_alive_s = 0
            self._rearm(runner)

    def resident(self) -> list[Runner]:
        return [runner for runner in self.runners.values() if runner.is_alive]

    async def close(self) -> None:
        runners, self.runners = list(self.runners.values()), {}
        await asyncio.gather(*(runner.close() for runner in runners), *self.closing)


def _eviction_order(runner: Runner) -> tuple[bool, float, str]:
    return runner.users > 0, runner.keep_alive_s, str(runner.want.blob)


async def start(want: Want, log: Path) -> Runner:
    """Start a model process and wait until it has loaded. Raises Refused(500) where it cannot."""
    arguments = ["serve", str(want.blob), "--num-ctx", str(want.num_ctx), "--threads", str(want.threads)]
    if want.adapter:
        arguments += ["--adapter", str(want.adapter)]
    with log.open("ab") as stderr:
        process = await _spawn(arguments, stderr)
    assert process.stdout
    try:
        line = await process.stdout.readline()
    except asyncio.CancelledError:  # the client left while its model was loading: the load ends with it
        process.kill()
        raise
    ready: dict[str, Any] = json.loads(line) if line else {}
    if "ready" not in ready:
        await process.wait()
        raise Refused(500, f"unable to load model: {want.blob}")
    return Runner(want, process, ready["num_ctx"])


async def _spawn(arguments: list[str], stderr: BinaryIO) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *child_command(*arguments), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=stderr,
        env=child_environment(), limit=LINE_BYTES, start_new_session=True,
    )  # fmt: skip
