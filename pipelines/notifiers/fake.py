"""A notifier that keeps what it was given: for flow tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pipelines.notifiers import Message, SendFailed
from pipelines.notifiers.email import refusal


class FakeNotifier:
    """`sent` is shared by all instances.

    While `refusals` is above zero the server is away: a send fails and lowers it by one. `refused` is {recipient: what
    a server answers to it}.
    """

    sent: ClassVar[list[tuple[Message, tuple[str, ...]]]] = []
    refusals: ClassVar[int] = 0
    refused: ClassVar[dict[str, str]] = {}

    def send(self, message: Message, recipients: Sequence[str]) -> None:
        kind = type(self)
        if kind.refusals > 0:
            kind.refusals -= 1
            raise SendFailed("The fake mail server refused the message.", is_away=True)
        answers = [kind.refused[one] for one in recipients if one in kind.refused]
        if recipients and len(answers) == len(recipients):
            raise refusal(answers)
        kind.sent.append((message, tuple(recipients)))

    @classmethod
    def reset(cls) -> None:
        cls.sent.clear()
        cls.refused.clear()
        cls.refusals = 0
