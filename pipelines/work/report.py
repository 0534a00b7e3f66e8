"""What a child process says to its parent: JSON lines of progress, and one last line with a result or an error."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any, TextIO

# A line per step of a fast training would be thousands; the parent renews its lease on far fewer.
LEAST_S_BETWEEN_LINES = 0.2

Numbers = Mapping[str, float | int | str]
NO_NUMBERS: Numbers = {}


class WorkError(Exception):
    """A sentence that says what went wrong and what to do. `permanent`: trying again cannot help."""

    def __init__(self, sentence: str, *, permanent: bool) -> None:
        super().__init__(sentence)
        self.permanent = permanent


class Report:
    """Writes progress lines to `stream`, at most one in LEAST_S_BETWEEN_LINES unless `force` is set."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._last_line_at = -LEAST_S_BETWEEN_LINES

    def progress(self, share: float, note: str, numbers: Numbers = NO_NUMBERS, *, force: bool = False) -> None:
        """`share` of the work done, in [0, 1]; `numbers` are shown beside the note."""
        now = time.monotonic()
        if not force and now - self._last_line_at < LEAST_S_BETWEEN_LINES:
            return
        self._last_line_at = now
        self._write({"progress": round(min(max(share, 0.0), 1.0), 4), "note": note, "numbers": dict(numbers)})

    def result(self, result: Mapping[str, Any]) -> None:
        self._write({"result": dict(result)})

    def error(self, sentence: str, *, permanent: bool) -> None:
        self._write({"error": sentence, "permanent": permanent})

    def _write(self, line: Mapping[str, Any]) -> None:
        self._stream.write(json.dumps(line, allow_nan=False, ensure_ascii=False) + "\n")
        self._stream.flush()
