"""Hears from PostgreSQL that a route was committed, so that the follower need not wait for its next look."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from tenants.postgresql import channel

log = logging.getLogger(__name__)

WAIT_S = 0.5
AGAIN_S = 2.0


class Listener:
    """A message may be lost without a word (a pooler, a fail-over): so it only hastens looks, and never replaces them.

    `is_hearing`: the last route that was found had been told. News that nobody told mean that the line is deaf: a new
    one is opened, and the follower looks often again.
    """

    def __init__(self, on_word: Callable[[], None]) -> None:
        self.is_hearing = False
        self._on_word = on_word
        self._is_untold = False
        self._deaf = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        if self._thread is None and channel.is_possible():
            self._thread = threading.Thread(target=self._run, name="gateway-listener", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout=10)

    def looked(self, is_told: bool, has_news: bool) -> None:
        """After each look of the follower. One look of grace: the word may be on its way."""
        if is_told:
            self._is_untold = False
        elif self._is_untold:
            self._is_untold = self.is_hearing = False
            self._deaf.set()
        elif has_news:
            self._is_untold = True

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._deaf.clear()
            try:
                self._listen()
            except channel.FAULTS as error:
                log.info("No word of new routes until the database is back: %s", type(error).__name__)
            self.is_hearing = False
            self._stopping.wait(AGAIN_S)

    def _listen(self) -> None:
        with channel.listening() as line:
            while not (self._stopping.is_set() or self._deaf.is_set()):
                if channel.hears(line, WAIT_S):
                    self.is_hearing = True
                    self._on_word()
