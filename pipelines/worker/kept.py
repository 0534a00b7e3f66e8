"""Something that headquarters gave out, kept by beats: a thread that says how far it is, and hears when to stop."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

from pipelines.worker.link import Gone, Refused, Stopped, Unknown


class Kept(ABC):
    """`is_over`: it is given to somebody else or nobody waits for it, or this program is asked to end."""

    def __init__(self, every_s: float, is_ending: Callable[[], bool]) -> None:
        self._every_s, self._is_ending = every_s, is_ending
        self._gone, self._through = threading.Event(), threading.Event()

    def is_over(self) -> bool:
        return self._gone.is_set() or self._is_ending()

    @contextmanager
    def going(self) -> Iterator[Self]:
        """Beats until the block is left; a beat under way then is not waited for."""
        threading.Thread(target=self._beat, daemon=True).start()
        try:
            yield self
        finally:
            self._through.set()

    @abstractmethod
    def say(self) -> Mapping[str, Any]:
        """One beat, and its answer with `go_on`. What it raises as Stopped is tried again while the block lasts."""

    def when_gone(self) -> None:  # noqa: B027 - a kind of work that asks `is_over` often enough needs none
        """What ends at once, by the beating thread."""

    def _beat(self) -> None:
        while not self._through.wait(self._every_s):
            try:
                goes_on = self.say()["go_on"]
            except (Stopped, KeyError, TypeError):  # No answer, or something else's.
                continue
            except (Gone, Unknown, Refused):
                goes_on = False
            if not goes_on:
                self._gone.set()
                self.when_gone()
                return
