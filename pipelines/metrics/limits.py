"""A time limit around a piece of scoring, so that one hostile case cannot hold an evaluation up for ever."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

CASE_S = 5.0
SET_S = 300.0


class TookTooLong(Exception):
    """Raised inside the code that ran past its limit."""


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Raises TookTooLong in the block once `seconds` of wall time are over.

    Signals reach the main thread only, which is where an evaluation scores. Elsewhere (a web worker's thread, which
    only tries a case on an empty answer) the checks' own bounds hold: regular expressions and schemas run in linear
    time.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGALRM, _ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _ring(number: int, frame: FrameType | None) -> None:
    raise TookTooLong
