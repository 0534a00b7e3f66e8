"""The way to headquarters: one address, HTTPS, and patience. What may be asked twice is asked until it is answered."""

from __future__ import annotations

import json
import logging
import random
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Any, TypeVar
from urllib.parse import urlsplit

from pipelines.worker.protocol import HEADER, PROTOCOL

TIMEOUT_S = 60.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0
# Answers of a proxy or of a server that is being restarted, or whose disk is full: not the answer.
NOT_AN_ANSWER = frozenset({408, 425, 429, 500, 502, 503, 504, 507})
TOO_LARGE_FOR_A_PROXY = (
    "a proxy before headquarters takes no body of this size, and has to (16 MiB; nginx: client_max_body_size 16m)"
)
LOOPBACK = ("127.0.0.1", "localhost", "::1")

log = logging.getLogger("retune-link")

Found = TypeVar("Found")
# What is true at the moment of sending is made anew for each attempt: between two of them may lie days.
Body = bytes | Callable[[], bytes] | None
Words = Mapping[str, Any] | Callable[[], Mapping[str, Any]]


class Gone(RuntimeError):
    """The job is another's, or over: throw away what there is of it."""


class Unknown(RuntimeError):
    """Headquarters does not know this token."""


class Refused(RuntimeError):
    """An answer that says no, with a sentence. `is_ours`: of headquarters itself, and not of a proxy before it."""

    def __init__(self, sentence: str, status: int = 0, is_ours: bool = True) -> None:
        super().__init__(sentence)
        self.status, self.is_ours = status, is_ours


class Stopped(RuntimeError):
    """The wait was ended: by a signal, or because the job is gone."""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A token goes to the address that was given and to no other."""

    def redirect_request(self, *_ignored: Any) -> None:
        return None


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes
    headers: Mapping[str, str]

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Link:
    """`pause_s`: the longest pause between two attempts. `room`: whose doors these are, `machine` or `agent`."""

    url: str
    token: str
    pause_s: float = LONGEST_PAUSE_S
    room: str = "machine"
    opener: urllib.request.OpenerDirector = field(default_factory=lambda: urllib.request.build_opener(_NoRedirects()))

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme != "https" and parts.hostname not in LOOPBACK:
            raise ValueError(f"RETUNE_URL={self.url!r}: an https:// address is needed, or the token could be read.")
        self.url = self.url.rstrip("/")

    def post(self, path: str, body: Words, stop: Callable[[], bool]) -> Any:
        """The answer's JSON; None for 204."""

        def sent() -> bytes:
            return json.dumps(body() if callable(body) else body).encode()

        return self.told("POST", self.machine(path), stop, sent, {"Content-Type": "application/json"})

    def machine(self, path: str) -> str:
        return f"{self.url}/rest/v1/{self.room}/{path}"

    def ask(
        self,
        method: str,
        url: str,
        stop: Callable[[], bool],
        body: Body = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Asked until it is answered. Raises Gone, Unknown, Refused, and Stopped when `stop` says so in a pause."""
        return _patiently(
            lambda: self._judged(self.once(method, url, made(body), headers), headers), self.pause_s, stop
        )

    def told(
        self,
        method: str,
        url: str,
        stop: Callable[[], bool],
        body: Body = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """The JSON that answers it, asked for as `ask` does; None for 204."""

        def attempt() -> Any:
            answer = self._judged(self.once(method, url, made(body), headers), headers)
            return None if answer.status == 204 else answer.json()

        return _patiently(attempt, self.pause_s, stop)

    def once(
        self, method: str, url: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """One attempt. OSError or HTTPException: no answer came, or not a whole one."""
        told = {"Authorization": f"Bearer {self.token}", "User-Agent": f"retune-{self.room}", HEADER: str(PROTOCOL)}
        told |= headers or {}
        request = urllib.request.Request(url, data=body, headers=told, method=method)
        try:
            with self.opener.open(request, timeout=TIMEOUT_S) as response:
                return Answer(response.status, response.read(), dict(response.headers))
        except urllib.error.HTTPError as error:
            if error.code in NOT_AN_ANSWER:
                raise OSError(f"{error.code} of {url.partition('?')[0]}") from error
            return Answer(error.code, error.read(), dict(error.headers))

    def _judged(self, answer: Answer, asked: Mapping[str, str] | None) -> Answer:
        """A whole page where a piece of a file was asked for is a proxy's: ValueError, as where it is no JSON."""
        match answer.status:
            case 200 if "Range" in (asked or {}):
                raise ValueError("no piece of the file")
            case 200 | 204 | 206:
                return answer
            case 401:
                raise Unknown("Headquarters does not know this token: it was revoked, or it is another one.")
            case 410:
                raise Gone("The job is not this machine's any more.")
            case _:
                raise _refused(answer)


def made(body: Body) -> bytes | None:
    return body() if callable(body) else body


def _patiently(attempt: Callable[[], Found], longest_s: float, stop: Callable[[], bool]) -> Found:
    """Maintenance pages and pages of an office's network, which come with 200, are no answers either."""
    is_said = False
    for pause in pauses(longest_s):
        try:
            return attempt()
        except (OSError, HTTPException):
            pass
        except ValueError as fault:
            if not is_said:
                log.warning("No answer of headquarters (%s): is the address right? It is asked again.", fault)
            is_said = True
        _sleep(pause, stop)
    raise AssertionError("pauses never end")


def _refused(answer: Answer) -> Refused:
    try:
        return Refused(f"{answer.status}: {answer.json()['error']['message']}", answer.status)
    except (ValueError, KeyError, TypeError):
        said = f"{answer.body[:200]!r}" if answer.status != 413 else TOO_LARGE_FOR_A_PROXY
        return Refused(f"{answer.status}: {said}", answer.status, is_ours=False)


def pauses(longest_s: float) -> Iterator[float]:
    """Doubled each time up to `longest_s`, each anywhere between nothing and that: a thousand machines never march."""
    most = FIRST_PAUSE_S
    while True:
        yield random.uniform(0, min(most, longest_s))
        most = min(most * 2, longest_s)


def _sleep(seconds: float, stop: Callable[[], bool]) -> None:
    until = time.monotonic() + seconds
    while True:
        if stop():
            raise Stopped
        left = until - time.monotonic()
        if left <= 0:
            return
        time.sleep(min(left, 0.2))
