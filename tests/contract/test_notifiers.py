"""Every way to tell people, against its Protocol: the fake, Django's mail to files, and a real SMTP server."""

from __future__ import annotations

import email
import email.policy
import socket
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message as MessageHandler

from pipelines import notifiers
from pipelines.notifiers import Message, SendFailed
from pipelines.notifiers.fake import FakeNotifier

TO = ("owner@north.example", "night@north.example")
MESSAGE = Message(
    subject="Acorn Support v14 promoted (+3.1 pts) – español",
    html="<p>v14 &amp; <b>friends</b></p>",
    text="v14 & friends\n",
    message_id="<0011@retune.example>",
    thread_id="<aabb@retune.example>",
)


class Inbox(MessageHandler):
    """Keeps what an SMTP client handed over, parsed by the standard library."""

    def __init__(self) -> None:
        super().__init__()
        self.mails: list[EmailMessage] = []

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


@pytest.fixture
def smtp(settings: Any) -> Iterator[Inbox]:
    """A real SMTP server in a thread, and settings that point at it."""
    inbox = Inbox()
    server = Controller(inbox, hostname="127.0.0.1", port=free_port())
    server.start()
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", server.port
    yield inbox
    server.stop()


@pytest.fixture
def files(settings: Any, tmp_path: Path) -> Path:
    settings.EMAIL_BACKEND = "agency.mail.files.EmailBackend"
    settings.EMAIL_FILE_PATH = tmp_path / "letters"
    return tmp_path / "letters"


def test_every_name_loads_and_has_send() -> None:
    assert {name: callable(notifiers.load(name).send) for name in notifiers.NOTIFIERS} == {"email": True, "fake": True}
    with pytest.raises(KeyError):
        notifiers.load("pigeon")


def test_a_message_goes_through_a_real_smtp_server_in_both_parts(smtp: Inbox) -> None:
    notifiers.load("email").send(MESSAGE, TO)

    (mail,) = smtp.mails
    assert mail["Subject"].strip() == MESSAGE.subject
    assert mail["X-RcptTo"] == ", ".join(TO)
    assert (mail["Message-ID"], mail["References"]) == (MESSAGE.message_id, MESSAGE.thread_id)
    assert mail.get_content_type() == "multipart/alternative"
    text, html = mail.iter_parts()
    assert (text.get_content_type(), html.get_content_type()) == ("text/plain", "text/html")
    assert text.get_content().replace("\r\n", "\n") == MESSAGE.text
    assert html.get_content().strip() == MESSAGE.html


def test_embedded_mail_becomes_one_file_per_message(files: Path) -> None:
    notifiers.load("email").send(MESSAGE, TO)
    notifiers.load("email").send(MESSAGE, TO)

    letters = [email.message_from_bytes(path.read_bytes(), policy=email.policy.default) for path in files.iterdir()]
    assert len(letters) == 2
    assert {letter["Message-ID"] for letter in letters} == {MESSAGE.message_id}


def _no_server(settings: Any) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", free_port()


def _refusing(settings: Any) -> None:
    FakeNotifier.refusals = 1


@pytest.mark.parametrize(("name", "arrange"), [("email", _no_server), ("fake", _refusing)])
def test_a_message_that_is_not_taken_is_a_send_failed_with_a_sentence(
    name: str, arrange: Callable[[Any], None], settings: Any
) -> None:
    arrange(settings)

    with pytest.raises(SendFailed, match="mail server"):
        notifiers.load(name).send(MESSAGE, TO)

    FakeNotifier.reset()


def test_the_fake_keeps_what_it_was_given() -> None:
    FakeNotifier.reset()

    notifiers.load("fake").send(MESSAGE, list(TO))

    assert FakeNotifier.sent == [(MESSAGE, TO)]
    FakeNotifier.reset()
