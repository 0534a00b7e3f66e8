"""Catches llama.cpp's log: the only place where it says why a file was refused."""

from __future__ import annotations

import ctypes
import sys
from collections import deque

import llama_cpp

KEPT_LINES = 30
_WARN, _ERROR, _CONTINUED = 3, 4, 5


class NativeLog:
    """Keeps the latest warnings and errors in `lines` and copies them to stderr.

    The callback object must outlive every native call, so the one instance below lives as long as the process.
    """

    def __init__(self) -> None:
        self.lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._callback = llama_cpp.llama_log_callback(self._take)
        self._level = 0

    def install(self) -> None:
        llama_cpp.llama_log_set(self._callback, ctypes.c_void_p(0))

    def reason(self) -> str:
        """The latest lines as one text, for an error sentence."""
        return " ".join(line for line in list(self.lines)[-4:] if line) or "llama.cpp gave no reason"

    def _take(self, level: int, text: bytes, _user_data: object) -> None:
        self._level = self._level if level == _CONTINUED else level
        if self._level in (_WARN, _ERROR):
            line = text.decode("utf-8", "replace").strip()
            self.lines.append(line)
            print(line, file=sys.stderr)


LOG = NativeLog()
