"""Makes headquarters' calls to the Ollama beside it: a few kinds, none that would fetch or send models elsewhere."""

from __future__ import annotations

import errno
import http.client
import json
import logging
import re
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote, urlsplit

from agency.agent.uploads import CHUNK_BYTES, Damaged, Files, NoSpace, fetched
from pipelines.worker.kept import Kept
from pipelines.worker.link import Link, Refused, Stopped, Unknown

log = logging.getLogger("retune-agent")

HANDS = 4
BEAT_S, AGAIN_S = 5.0, 30.0
LINGER_S, LINGER_PAUSE_S = 2.0, 0.1
LOOK_S = 10.0
MOST_ANSWER_BYTES = 16 * 2**20
# What a host says, in the words of Linux and of Windows.
FULL = re.compile(rb"no space left|not enough space", re.IGNORECASE)
# Whatever else a host can do (pull, push, cloud) is not asked through an agent.
ALLOWED = (
    ("GET", re.compile(r"/api/(version|tags|ps)")),
    ("POST", re.compile(r"/api/(show|create|copy|generate|chat)|/v1/chat/completions")),
    ("DELETE", re.compile(r"/api/delete")),
    ("HEAD", re.compile(r"/api/blobs/sha256:[0-9a-f]{64}")),
    ("POST", re.compile(r"/api/blobs/sha256:[0-9a-f]{64}")),
)


@dataclass(frozen=True)
class Said:
    """What the host answered; status 0: it did not, and `body` says why."""

    status: int
    content_type: str
    body: bytes


def is_allowed(method: str, path: str) -> bool:
    return any(method == known and form.fullmatch(path) for known, form in ALLOWED)


@dataclass
class Hands:
    """Threads that claim calls and make them.

    Their names outlive the program: killed with a call in hand, it takes the same call again when it is started.
    """

    link: Link
    ollama: str
    files: Files
    called: threading.Event = field(default_factory=threading.Event)
    ending: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        self.files.open()
        name = named(self.files.folder.parent / "hands")
        for number in range(HANDS):
            threading.Thread(
                target=self._run, args=(f"{name}-{number}", number == 0), name=f"agent-hand-{number}", daemon=True
            ).start()

    def call(self) -> None:
        self.called.set()

    def _run(self, hand: str, is_first: bool) -> None:
        """At once for what it had in hand when the program ended; then when called.

        Who makes a call wakes the next one. A word may be lost, so one of them looks now and then by itself, and only
        one: a hundred agents at rest are to cost headquarters next to nothing.
        """
        while not self.ending.is_set():
            try:
                self._take(hand)
            except Stopped:
                return
            except (Unknown, Refused) as wrong:
                log.warning("No calls are taken: %s", wrong)
                self.ending.wait(AGAIN_S)
            except Exception:
                log.exception("No calls are taken")
                self.ending.wait(AGAIN_S)
            while not (self.called.wait(AGAIN_S) or is_first or self.ending.is_set()):
                pass
            self.called.clear()

    def _take(self, hand: str) -> None:
        """Whoever made one asks on for a moment: a push asks its host some dozens of things in a row."""
        ends_at = 0.0
        while not self.ending.is_set():
            told = self.link.post("calls", {"hand": hand}, self.ending.is_set)
            if told is not None:
                self.called.set()
                self.make(told)
                ends_at = time.monotonic() + LINGER_S
            elif time.monotonic() > ends_at:
                return
            else:
                self.ending.wait(LINGER_PAUSE_S)

    def make(self, told: Mapping[str, Any]) -> None:
        log.info("%s %s", told["method"], told["path"])
        with Call(self.link, told, self.ending.is_set).going() as call:
            try:
                said = self._said(call)
            except Stopped:
                return
            except (OSError, http.client.HTTPException) as fault:
                said = Said(0, "", f"{type(fault).__name__}: {fault}".encode()[:500])
        with suppress(Stopped):
            try:
                call.answer(said)
            except Refused as refused:
                call.answer(Said(0, "", str(refused).encode()[:500]))

    def _said(self, call: Call) -> Said:
        method, path = call.told["method"], call.told["path"]
        if not is_allowed(method, path):
            return refusal(403, f"{method} {path} is nothing that this agent asks its host")
        if not call.told["digest"]:
            return asked(self.ollama, call, call.told["body"].encode(), None)
        try:
            with self.files.alone_with(call.told["digest"], call.is_over) as place:
                return self._uploaded(call, place)
        except Damaged as damaged:
            return refusal(400, f"digest mismatch: {damaged}")
        except NoSpace as full:
            return refusal(500, str(full))

    def _uploaded(self, call: Call, place: Path) -> Said:
        """The file stays where the host could not take it: the next try begins with what is here."""
        if is_there(self.ollama, call.told["path"]):
            place.unlink(missing_ok=True)  # Another hand brought it while this one waited.
            return Said(200, "", b"")
        try:
            self.files.room_for(call.told["size_bytes"], place)
            fetched(call.link, call.told, place, call.is_over, call.tell)
            with place.open("rb") as file:
                said = asked(self.ollama, call, b"", file)
        except Damaged:
            place.unlink(missing_ok=True)
            raise
        except OSError as fault:
            if fault.errno == errno.ENOSPC:
                raise NoSpace("no space left beside the host for a file on its way") from fault
            raise
        if said.status in (200, 201, 400):
            place.unlink(missing_ok=True)
        elif FULL.search(said.body):
            self.files.forget_others(place)
        return said


def named(file: Path) -> str:
    """The name of this program's hands, made once."""
    found = file.read_text().strip() if file.exists() else ""
    if not re.fullmatch(r"[0-9a-f]{32}", found):
        found = secrets.token_hex(16)
        file.write_text(found)
    return found


def is_there(ollama: str, path: str) -> bool:
    """Whether the host has this blob."""
    connection = connected(ollama, LOOK_S)
    try:
        connection.request("HEAD", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def connected(ollama: str, timeout_s: float) -> http.client.HTTPConnection:
    parts = urlsplit(ollama)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    return kind(parts.hostname or "", parts.port, timeout=timeout_s)


def refusal(status: int, sentence: str) -> Said:
    return Said(status, "application/json", json.dumps({"error": sentence}).encode())


class Call(Kept):
    """One call: headquarters is told that it is being made, and says when nobody waits any more."""

    def __init__(self, link: Link, told: Mapping[str, Any], is_ending: Callable[[], bool]) -> None:
        super().__init__(BEAT_S, is_ending)
        self.link, self.told, self.done_bytes = link, told, 0
        self.connection: http.client.HTTPConnection | None = None

    def tell(self, done_bytes: int) -> None:
        self.done_bytes = done_bytes

    def answer(self, said: Said) -> None:
        kind = f"?status={said.status}&content_type={quote(said.content_type)}"
        url = self.link.machine(f"calls/{self.told['call']}/answer{kind}")
        self.link.told("PUT", url, self.is_over, said.body, {"Content-Type": "application/octet-stream"})

    def say(self) -> Mapping[str, Any]:
        path, body = f"calls/{self.told['call']}/beat", {"done_bytes": self.done_bytes}
        answer: Mapping[str, Any] = self.link.post(path, body, self._through.is_set)
        return answer

    def when_gone(self) -> None:
        """A load or an answer under way ends when its asker leaves."""
        if self.connection is not None and self.connection.sock is not None:
            with suppress(OSError):
                self.connection.sock.shutdown(socket.SHUT_RDWR)


def asked(ollama: str, call: Call, body: bytes, file: BinaryIO | None) -> Said:
    """One request to the host, ended when the asker's patience is over."""
    call.connection = connected(ollama, max(float(call.told["within_s"]), 1.0))
    headers = {"Accept-Encoding": "identity"}
    try:
        if file is not None:
            headers |= {"Content-Length": str(call.told["size_bytes"]), "Content-Type": "application/octet-stream"}
            call.connection.request(call.told["method"], call.told["path"], _counted(file, call), headers)
        else:
            headers |= {"Content-Type": "application/json"} if body else {}
            call.connection.request(call.told["method"], call.told["path"], body or None, headers)
        response = call.connection.getresponse()
        found = response.read(MOST_ANSWER_BYTES + 1)
    finally:
        call.connection.close()
    if len(found) > MOST_ANSWER_BYTES:
        return Said(0, "", b"the answer is larger than anything that was asked for")
    return Said(response.status, response.headers.get("Content-Type", ""), found)


def _counted(file: BinaryIO, call: Call) -> Iterator[bytes]:
    while chunk := file.read(CHUNK_BYTES):
        if call.is_over():
            raise Stopped
        yield chunk
