"""The program: say what there is, claim, do, hand in, wipe; again and again, until it is asked to end."""

from __future__ import annotations

import logging
import os
import random
import secrets
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.work.child import Limits, spawn
from pipelines.work.errand import Errand, Places, Step, carry_out
from pipelines.worker import updating
from pipelines.worker.abilities import abilities, built
from pipelines.worker.aside import Aside
from pipelines.worker.beats import Beats
from pipelines.worker.files import Claimed, fetch_all, send_all
from pipelines.worker.link import LONGEST_PAUSE_S, Gone, Link, Refused, Stopped, Unknown, pauses
from pipelines.worker.place import alone_in, token

log = logging.getLogger("retune-worker")

USAGE = """retune-worker: does an agency's heavy jobs on this machine. It connects out only.

  RETUNE_URL        where Retune is: https://...
  RETUNE_TOKEN      the token that the page Machines showed; or RETUNE_TOKEN_FILE
  RETUNE_WORK_DIR   scratch and base models (default ~/.cache/retune-worker)
  RETUNE_CONVERTER_DIR   the GGUF converter, for jobs of the queue cpu
  RETUNE_CHILD_MEMORY_BYTES, RETUNE_CHILD_CPU_S, RETUNE_CHILD_FILE_BYTES   limits of one child (default none)

  requirements      prints what the work needs, for pip install -r
  update            takes the program that Retune offers, once; the one of before is kept beside it
  --update          works, and takes whatever program Retune offers, between two jobs: only where its operator may run
                    code on this machine
"""
HELLO_S = 300.0


class WorkFailed(RuntimeError):
    def __init__(self, sentence: str, permanent: bool, log_tail: str) -> None:
        super().__init__(sentence)
        self.permanent, self.log_tail = permanent, log_tail


@dataclass
class Program:
    """`folder` holds `scratch`, wiped at the start and after every job, `aside`, a checkpoint of a job that broke off,
    and `bases`, which are nobody's data. `hello` is what the agency said last, `refusal` why it says no now."""

    link: Link
    folder: Path
    poll_s: float = 3.0
    updates: bool = False
    has_new_program: bool = False
    hello: Mapping[str, Any] = field(default_factory=dict)
    greet_at: float = 0.0
    refusal: str = ""
    pauses: Iterator[float] = field(default_factory=lambda: iter(()))
    session: str = field(default_factory=lambda: secrets.token_hex(16))
    ending: threading.Event = field(default_factory=threading.Event)

    @property
    def scratch(self) -> Path:
        return self.folder / "scratch"

    @property
    def aside(self) -> Aside:
        return Aside(self.scratch, self.folder / "aside")

    def run(self) -> None:
        self.aside.keep()
        self.wipe()
        try:
            while not (self.ending.is_set() or self.has_new_program):
                try:
                    self.go_on()
                except (Gone, Refused) as no:
                    self.wait_out(no)
        except Stopped:
            log.info("ending")
        finally:
            self.wipe()
            self.aside.wipe()

    def go_on(self) -> None:
        """A greeting where one is due, else a job where there is one."""
        if time.monotonic() >= self.greet_at:
            self.hello, self.greet_at = self.greet(), time.monotonic() + HELLO_S
        elif not self.claim_one(self.hello["lease_s"]):
            self.ending.wait(self.poll_s * random.uniform(0.5, 1.5))
        self.refusal = ""

    def wait_out(self, no: Gone | Refused) -> None:
        """Another proxy, a clock or a program of headquarters may heal it: told once, asked again ever less often."""
        if self.refusal != str(no):
            self.refusal, self.pauses = str(no), pauses(self.link.pause_s)
            log.warning("Headquarters says no: %s It is asked again until it says otherwise.", no)
        self.ending.wait(next(self.pauses))

    def greet(self) -> Mapping[str, Any]:
        """What the agency says of this machine; takes another program where it is asked to."""
        hello: Mapping[str, Any] = self.link.post("hello", abilities(self.folder), self.ending.is_set)
        if self.updates and updating.is_other(hello.get("program")):
            try:
                updating.take(self.link, self.ending.is_set)
                self.has_new_program = True
            except (updating.NotTaken, OSError) as why:
                log.warning("The offered program is not taken: %s", why)
        if not self.hello:
            log.info("%s: queues %s, trusted: %s", hello["name"], hello["queues"], hello["is_trusted"])
        return hello

    def claim_one(self, lease_s: float) -> bool:
        told = self.link.post("claim", {"session": self.session}, self.ending.is_set)
        if told is None:
            self.aside.forget_old()
            return False
        job = Claimed(self.link, told)
        self.aside.begin(told["job"])
        log.info("job %s (%s), attempt %s", told["job"], told["kind"], told["attempt"])
        try:
            self.do(job, lease_s)
        except Gone:
            log.info("job %s is gone", told["job"])
            self.aside.keep()
        finally:
            self.wipe()
        return True

    def do(self, job: Claimed, lease_s: float) -> None:
        with Beats(job, lease_s, self.ending.is_set).going() as beats:
            try:
                self._done(job, beats)
            except Stopped as stopped:
                if not self.ending.is_set():
                    raise Gone from stopped
                self._fail(job, "The machine's program was ended.", False)
            except WorkFailed as failed:
                if not failed.permanent:
                    self.aside.keep()
                self._fail(job, str(failed), failed.permanent, failed.log_tail)
            except Gone:
                raise
            except Exception as error:
                log.exception("job %s", job.told["job"])
                self._fail(job, f"{type(error).__name__}: {error}", False)

    def _done(self, job: Claimed, beats: Beats) -> None:
        errand = Errand.parse({"inputs": {}, "steps": job.told["steps"], "outputs": job.told["outputs"]})
        inputs = fetch_all(job, self.scratch, self.folder / "bases", beats.is_over)
        places = Places(inputs, self.scratch / "out", self.scratch / "between")
        done = carry_out(errand, places, lambda step, spec: self._step(step, spec, beats))
        beats.tell(1.0, "handing in")
        outputs = send_all(job, done.out, self.scratch, beats.is_over)
        self.link.post(job.path("done"), job.body(said=done.said, outputs=outputs), beats.is_over)
        log.info("job %s is handed in", job.told["job"])

    def _step(self, step: Step, spec: Mapping[str, Any], beats: Beats) -> dict[str, Any]:
        start, end = step.span

        def on_line(line: Mapping[str, Any]) -> None:
            share = start + (end - start) * float(line.get("progress", 0.0))
            beats.tell(share, str(line.get("note", "")), line.get("numbers"))

        ended = spawn(
            step.kind,
            {**spec, "scratch": str(self.scratch / "work")},
            scratch=self.scratch / "work",
            limits=limits(),
            on_line=on_line,
            cancelled=beats.is_over,
            log_path=self.scratch / f"{step.kind}.log",
        )
        if ended.result is not None:
            return dict(ended.result)
        if ended.cancelled:
            raise Stopped
        raise WorkFailed(ended.error, ended.permanent, ended.log_tail)

    def _fail(self, job: Claimed, error: str, permanent: bool, log_tail: str = "") -> None:
        """Told with patience; when this program is ending, told once."""
        log.warning("job %s: %s", job.told["job"], error)
        body = job.body(error=error, permanent=permanent, log_tail=log_tail)
        try:
            self.link.post(job.path("failed"), body, self.ending.is_set)
        except (Stopped, Refused):
            log.warning("job %s: nobody heard of it; its lease will end", job.told["job"])

    def wipe(self) -> None:
        shutil.rmtree(self.scratch, ignore_errors=True)
        self.scratch.mkdir(parents=True, mode=0o700)


def limits() -> Limits:
    return Limits(
        address_space_bytes=_number("RETUNE_CHILD_MEMORY_BYTES"),
        cpu_s=_number("RETUNE_CHILD_CPU_S"),
        file_bytes=_number("RETUNE_CHILD_FILE_BYTES"),
        threads=len(os.sched_getaffinity(0)),
    )


def _number(name: str) -> int | None:
    return int(os.environ[name]) if os.environ.get(name) else None


def main(arguments: list[str]) -> int:
    if arguments == ["requirements"]:
        print(requirements(), end="")
        return 0
    if arguments == ["version"]:
        print(built())
        return 0
    if arguments not in ([], ["update"], ["--update"]) or not os.environ.get("RETUNE_URL"):
        print(USAGE)
        return 0 if arguments in (["help"], ["--help"]) else 2
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    folder = Path(os.environ.get("RETUNE_WORK_DIR", "~/.cache/retune-worker")).expanduser().resolve()
    try:
        link = Link(os.environ["RETUNE_URL"], token(), float(os.environ.get("RETUNE_PAUSE_S", LONGEST_PAUSE_S)))
        if arguments == ["update"]:
            print(updating.once(link))
            return 0
        program = Program(link, folder, float(os.environ.get("RETUNE_POLL_S", "3")), updates=bool(arguments))
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_ignored: program.ending.set())
        with alone_in(folder, "retune-worker"):
            program.run()
    except (Unknown, Refused, ValueError, OSError, updating.NotTaken) as wrong:
        print(wrong, file=sys.stderr)
        return 1
    if program.has_new_program:
        updating.restart()
    return 0


def requirements() -> str:
    """Written into the one file when it is packed."""
    import pkgutil

    return (pkgutil.get_data("pipelines.worker", "requirements.txt") or b"").decode()
