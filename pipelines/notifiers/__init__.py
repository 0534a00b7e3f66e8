"""Ways to tell people: a Protocol, and a visible name for each kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol

NOTIFIERS: dict[str, str] = {
    "email": "pipelines.notifiers.email:EmailNotifier",
    "fake": "pipelines.notifiers.fake:FakeNotifier",
}


@dataclass(frozen=True)
class Message:
    """What is told, twice over: `html` and `text` say the same. `subject` is one line.

    `message_id` and `thread_id` are RFC 5322 msg-ids (`<left@right>`): a message that is sent again keeps its id, so
    that a mailbox shows it once; messages with the same thread stand together.
    """

    subject: str
    html: str
    text: str
    message_id: str
    thread_id: str = ""


class SendFailed(Exception):
    """The message was not taken. The sentence says by whom and why; trying again later may help."""


class Notifier(Protocol):
    """Hands a message to the recipients. Raises `SendFailed`; a return means that it was taken for delivery."""

    def send(self, message: Message, recipients: Sequence[str]) -> None: ...


def load(name: str) -> Notifier:
    """A new notifier of this kind. Raises KeyError for a name that is not in NOTIFIERS."""
    module, _, attribute = NOTIFIERS[name].partition(":")
    notifier: Notifier = getattr(import_module(module), attribute)()
    return notifier
