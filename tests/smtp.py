"""A real SMTP server in a thread: keeps what it takes, and refuses the mailboxes that it is told to."""

from __future__ import annotations

import email
import email.policy
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message as MessageHandler


class Inbox(MessageHandler):
    """`mails`, parsed by the standard library; `refused` is {mailbox: the answer at RCPT TO}."""

    def __init__(self) -> None:
        super().__init__()
        self.mails: list[EmailMessage] = []
        self.refused: dict[str, str] = {}

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, rcpt_options: list[str]) -> str:
        if address in self.refused:
            return self.refused[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    def prepare_message(self, session: Any, envelope: Any) -> EmailMessage:
        mail = email.message_from_bytes(envelope.original_content, policy=email.policy.default)
        mail["X-RcptTo"] = ", ".join(envelope.rcpt_tos)
        return mail

    def handle_message(self, message: Any) -> None:
        self.mails.append(message)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def to_nobody(settings: Any) -> None:
    """Settings that point at a mail server that is away."""
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", free_port()


@contextmanager
def serving(settings: Any) -> Iterator[Inbox]:
    """The inbox of a server that the settings point at."""
    inbox = Inbox()
    to_nobody(settings)
    server = Controller(inbox, hostname="127.0.0.1", port=settings.EMAIL_PORT)
    server.start()
    yield inbox
    server.stop()
