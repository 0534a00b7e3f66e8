"""Reads JSON lines from a child's pipe: bounded, tolerant of noise, never blocking longer than asked."""

from __future__ import annotations

import json
import os
import select
from collections.abc import Callable, Mapping
from typing import IO, Any

CHUNK_BYTES = 65_536
# A result carries facts, not data (data lies in files), so a longer line is a broken child.
LONGEST_LINE_BYTES = 4_194_304


class Follower:
    """Feeds each progress line to `on_line` and keeps the last line that is a result or an error in `last`."""

    def __init__(self, pipe: IO[bytes] | None, on_line: Callable[[Mapping[str, Any]], None]) -> None:
        if pipe is None:
            raise ValueError("The child was started without a pipe for its lines.")
        self._fd = pipe.fileno()
        self._on_line = on_line
        self._buffer = b""
        self._at_end = False
        self.last: Mapping[str, Any] = {}

    def read(self, timeout_s: float) -> None:
        """Wait up to `timeout_s` for bytes and handle the whole lines among them."""
        if self._at_end:
            select.select([], [], [], timeout_s)
        elif select.select([self._fd], [], [], timeout_s)[0]:
            self._take(os.read(self._fd, CHUNK_BYTES))

    def read_rest(self) -> None:
        """Handle what an ended child left in the pipe. A grandchild may hold it open, so never wait for its end."""
        while not self._at_end and select.select([self._fd], [], [], 0)[0]:
            self._take(os.read(self._fd, CHUNK_BYTES))
        self._handle(self._buffer)

    def _take(self, chunk: bytes) -> None:
        self._at_end = not chunk
        *lines, self._buffer = (self._buffer + chunk).split(b"\n")
        if len(self._buffer) > LONGEST_LINE_BYTES:
            self._buffer = b""
        for line in lines:
            self._handle(line)

    def _handle(self, raw: bytes) -> None:
        line = _parse(raw)
        if "result" in line or "error" in line:
            self.last = line
        elif "progress" in line:
            self._on_line(line)


def _parse(raw: bytes) -> Mapping[str, Any]:
    try:
        value = json.loads(raw)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
