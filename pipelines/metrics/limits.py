"""A time limit around a piece of scoring, so that one hostile case cannot hold an evaluation up for ever.

Processor time is what is limited: on a busy machine five seconds of the clock can pass before a library is imported,
and an import that is broken off fails every case after it. A check that only waits ends by the clock, later.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

CASE_S = 5.0
SET_S = 300.0
CLOCK = 20  # The clock may show so many times more.
TIMERS = ((signal.ITIMER_PROF, signal.SIGPROF, 1), (signal.ITIMER_REAL, signal.SIGALRM, CLOCK))


class TookTooLong(Exception):
    """Raised inside the code that ran past its limit."""


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Raises TookTooLong in the block once it has computed for `seconds`, or CLOCK times as long have passed.

    Signals reach the main thread only, which is where an evaluation scores. Elsewhere (a web worker's thread, which
    only tries a case on an empty answer) the checks' own bounds hold: regular expressions and schemas run in linear
    time.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = [signal.signal(number, _ring) for _timer, number, _times in TIMERS]
    try:
        for timer, _number, times in TIMERS:
            signal.setitimer(timer, seconds * times)
        yield
    finally:
        for timer, _number, _times in TIMERS:
            signal.setitimer(timer, 0)
        for (_timer, number, _times), handler in zip(TIMERS, before, strict=True):
            signal.signal(number, handler)


def _ring(number: int, frame: FrameType | None) -> None:
    raise TookTooLong
