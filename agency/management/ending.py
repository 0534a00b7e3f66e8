"""Commands that are told to end in the middle: a timer's limit, a host that shuts down."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

TOLD_TO_END = 143


@contextmanager
def tidied() -> Iterator[None]:
    """SIGTERM becomes SystemExit: what is half written is removed. For the main thread of a process."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(TOLD_TO_END))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
