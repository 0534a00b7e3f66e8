"""Ways to tell people: a Protocol, and a visible name for each kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

from pipelines.notifiers.events import Event, Target

NOTIFIERS: dict[str, str] = {
    "email": "pipelines.notifiers.email:EmailNotifier",
    "fake": "pipelines.notifiers.fake:FakeNotifier",
}
# Channels: they are told by HTTP.
POSTERS: dict[str, str] = {
    "slack": "pipelines.notifiers.slack:SlackPoster",
    "pagerduty": "pipelines.notifiers.pagerduty:PagerDutyPoster",
    "webhook": "pipelines.notifiers.webhook:WebhookPoster",
}


@dataclass(frozen=True)
class Message:
    """What is told, twice over: `html` and `text` say the same. `subject` is one line.

    `message_id` and `thread_id` are RFC 5322 msg-ids (`<left@right>`): a message that is sent again keeps its id, so
    that a mailbox shows it once; messages with the same thread stand together. `leaving` is an https address where one
    POST ends such messages (RFC 8058).
    """

    subject: str
    html: str
    text: str
    message_id: str
    thread_id: str = ""
    leaving: str = ""


class SendFailed(Exception):
    """The message was not taken. The sentence says by whom and why; trying again later may help.

    Of a channel: `wish_s` is how long the server asked to be left alone; `is_gone`: it wants nothing ever again. Of a
    mail: `is_permanent`: this recipient will never be taken; `is_away`: no server takes anything now, for whomever.
    """

    def __init__(
        self,
        sentence: str,
        code: int | None = None,
        wish_s: float = 0,
        *,
        is_gone: bool = False,
        is_permanent: bool = False,
        is_away: bool = False,
    ) -> None:
        super().__init__(sentence)
        self.code, self.wish_s, self.is_gone = code, wish_s, is_gone
        self.is_permanent, self.is_away = is_permanent, is_away


class Notifier(Protocol):
    """Hands a message to the recipients. Raises `SendFailed`; a return means that it was taken for delivery.

    For several recipients it means that it was taken for one of them: where each counts, each gets a call.
    """

    def send(self, message: Message, recipients: Sequence[str]) -> None: ...


class Poster(Protocol):
    """Tells a channel. Gives the status of the answer; raises `SendFailed`."""

    def post(self, event: Event, target: Target) -> int: ...


def load(name: str) -> Notifier:
    """A new notifier of this kind. Raises KeyError for a name that is not in NOTIFIERS."""
    notifier: Notifier = _made(NOTIFIERS[name])
    return notifier


def load_poster(name: str) -> Poster:
    """A new poster of this kind. Raises KeyError for a name that is not in POSTERS."""
    poster: Poster = _made(POSTERS[name])
    return poster


def _made(path: str) -> Any:
    module, _, attribute = path.partition(":")
    return getattr(import_module(module), attribute)()
