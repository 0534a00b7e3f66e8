"""One attempt at one host, as the request path saw it: cheap to write down, judged later."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from agency.gateway.routes.snapshot import Place, RouteEntry, Target
from agency.gateway.wire import Path

HEARD_BYTES = 1 << 20
# The final line of /api/generate carries a token's number for each token of the conversation.
LINE_BYTES = 1 << 20


class Arm(StrEnum):
    """`fallback`: production answered for a candidate that failed.

    It is kept apart, or production's figures would be drawn from just those requests that the candidate failed.
    """

    PRODUCTION = "production"
    CANDIDATE = "candidate"
    FALLBACK = "fallback"


class Fault(StrEnum):
    """What went wrong, if anything. `left`: the caller went away, which says nothing about the model."""

    NONE = ""
    ANSWER = "answer"
    TRANSPORT = "transport"
    LEFT = "left"


@dataclass(slots=True)
class Heard:
    """The bytes of an answer, at most HEARD_BYTES of them; its last line always, because the counts stand in it."""

    parts: list[bytes] = field(default_factory=list)
    size: int = 0
    lines: int = 0
    last: bytes = b""
    _line: list[bytes] = field(default_factory=list)
    _line_bytes: int = 0

    def add(self, chunk: bytes) -> None:
        self.size += len(chunk)
        self.lines += chunk.count(b"\n")
        self._follow(chunk)
        self.last = chunk
        if self.size <= HEARD_BYTES:
            self.parts.append(chunk)

    def _follow(self, chunk: bytes) -> None:
        """Keeps the last line that is not empty, whatever the chunks' borders."""
        end = len(chunk.rstrip(b"\n"))
        begin = chunk.rfind(b"\n", 0, end) + 1
        if begin or (end and self.last.endswith(b"\n")):
            self._line, self._line_bytes = [], 0
        self._line_bytes += end - begin
        if self._line_bytes <= LINE_BYTES:
            self._line.append(chunk[begin:end])

    @property
    def last_line(self) -> bytes:
        return b"".join(self._line)

    @property
    def is_whole(self) -> bool:
        return self.size <= HEARD_BYTES


@dataclass(slots=True)
class Sighting:
    """`at` is wall time, for the record; `started` is monotonic, for the latency. Both begin with the host's work."""

    request_id: str
    entry: RouteEntry
    target: Target
    arm: Arm
    place: Place
    key_hash: str
    path: Path
    at: datetime = field(default_factory=lambda: datetime.now(UTC))
    started: float = field(default_factory=time.monotonic)
    status: int = 0
    fault: Fault = Fault.NONE
    finished_at: datetime | None = None
    latency_ms: float = 0.0
    heard: Heard = field(default_factory=Heard)
    first_token_ms: float | None = None
    # About what the question took, where its caller left before the host could say so.
    asked_tokens: int = 0
    # What was asked, only where the client has it kept.
    asked: Mapping[str, Any] | None = None
    # Hears how many tokens the answer took, where the key has a limit.
    spend: Callable[[int], None] | None = None

    def begin_stream(self) -> None:
        self.first_token_ms = (time.monotonic() - self.started) * 1000

    def finish(self, fault: Fault = Fault.NONE) -> None:
        self.fault = self.fault or fault
        self.finished_at = datetime.now(UTC)
        self.latency_ms = (time.monotonic() - self.started) * 1000
