"""A notifier that keeps what it was given: for flow tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pipelines.notifiers import Message, SendFailed


class FakeNotifier:
    """`sent` is shared by all instances; while `refusals` is above zero a send fails and lowers it by one."""

    sent: ClassVar[list[tuple[Message, tuple[str, ...]]]] = []
    refusals: ClassVar[int] = 0

    def send(self, message: Message, recipients: Sequence[str]) -> None:
        kind = type(self)
        if kind.refusals > 0:
            kind.refusals -= 1
            raise SendFailed("The fake mail server refused the message.")
        kind.sent.append((message, tuple(recipients)))

    @classmethod
    def reset(cls) -> None:
        cls.sent.clear()
        cls.refusals = 0
