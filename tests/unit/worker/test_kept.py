"""Beats of something that headquarters gave out: what is no answer takes nothing away, and a no ends it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from pipelines.worker.kept import Kept
from pipelines.worker.link import Gone, Refused, Stopped, Unknown


class Work(Kept):
    def __init__(self, answers: Iterator[Any]) -> None:
        super().__init__(0.01, lambda: False)
        self.answers, self.ended = answers, threading.Event()

    def say(self) -> Any:
        answer = next(self.answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def when_gone(self) -> None:
        self.ended.set()


@pytest.mark.parametrize("no", [{"go_on": False}, Gone(), Unknown(), Refused("no")], ids=repr)
def test_it_is_kept_until_headquarters_says_no(no: Any) -> None:
    asked: list[Any] = []

    def answers() -> Iterator[Any]:
        for answer in (Stopped(), None, [], {}, {"go_on": True}, no):
            asked.append(answer)
            yield answer

    with Work(answers()).going() as work:
        assert work.ended.wait(10)
    assert (asked[-1], len(asked), work.is_over()) == (no, 6, True)
