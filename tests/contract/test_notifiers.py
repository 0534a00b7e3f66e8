"""Every way to tell people, against its Protocol: the fake, Django's mail to files, a real SMTP server; and channels
against real HTTP servers on the loopback."""

from __future__ import annotations

import email
import email.policy
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from pipelines import notifiers
from pipelines.notifiers import Message, SendFailed
from pipelines.notifiers.events import Event, Target
from pipelines.notifiers.fake import FakeNotifier
from pipelines.notifiers.webhook import is_secret, new_secret
from tests.smtp import Inbox, free_port, serving, to_nobody
from tests.unit.outbound.answering import says, server

TO = ("owner@north.example", "night@north.example")
MESSAGE = Message(
    subject="Acorn Support v14 promoted (+3.1 pts) – español",
    html="<p>v14 &amp; <b>friends</b></p>",
    text="v14 & friends\n",
    message_id="<0011@retune.example>",
    thread_id="<aabb@retune.example>",
)


@pytest.fixture
def smtp(settings: Any) -> Iterator[Inbox]:
    with serving(settings) as inbox:
        yield inbox


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


@pytest.fixture
def fake() -> Iterator[None]:
    FakeNotifier.reset()
    yield
    FakeNotifier.reset()


@pytest.mark.parametrize("name", sorted(notifiers.NOTIFIERS))
def test_a_server_that_is_away_is_a_send_failed_with_a_sentence(name: str, settings: Any, fake: None) -> None:
    to_nobody(settings)
    FakeNotifier.refusals = 1

    with pytest.raises(SendFailed, match="mail server") as caught:
        notifiers.load(name).send(MESSAGE, TO)

    assert (caught.value.is_away, caught.value.is_permanent) == (True, False)


@pytest.mark.parametrize("name", sorted(notifiers.NOTIFIERS))
@pytest.mark.parametrize(
    ("answer", "is_permanent"),
    [
        ("550 5.1.1 No such user", True),
        ("550 unknown", True),
        ("552 5.2.2 Mailbox full", True),
        ("450 4.2.0 Greylisted", False),
        ("451 try later", False),
        ("554 5.7.1 Relay access denied", False),
    ],
)
def test_a_refused_recipient_is_told_from_a_server_that_is_away_and_for_good_from_for_now(
    name: str, answer: str, is_permanent: bool, smtp: Inbox, fake: None
) -> None:
    FakeNotifier.refused[TO[0]] = smtp.refused[TO[0]] = answer

    with pytest.raises(SendFailed, match="mail server refused") as caught:
        notifiers.load(name).send(MESSAGE, TO[:1])
    notifiers.load(name).send(MESSAGE, TO[1:])

    assert (caught.value.is_permanent, caught.value.is_away) == (is_permanent, False)
    assert answer in str(caught.value)
    assert len(smtp.mails) + len(FakeNotifier.sent) == 1


@pytest.mark.parametrize("name", sorted(notifiers.NOTIFIERS))
@pytest.mark.parametrize("answer", ["421 4.3.2 Shutting down", "530 5.7.0 Must issue a STARTTLS command first"])
def test_a_server_that_takes_no_recipient_at_all_is_away(name: str, answer: str, smtp: Inbox, fake: None) -> None:
    FakeNotifier.refused[TO[0]] = smtp.refused[TO[0]] = answer

    with pytest.raises(SendFailed) as caught:
        notifiers.load(name).send(MESSAGE, TO[:1])

    assert (caught.value.is_away, caught.value.is_permanent) == (True, False)


def test_the_fake_keeps_what_it_was_given() -> None:
    FakeNotifier.reset()

    notifiers.load("fake").send(MESSAGE, list(TO))

    assert FakeNotifier.sent == [(MESSAGE, TO)]
    FakeNotifier.reset()


EVENT = Event(
    message_id="msg_1",
    kind="rolled_back",
    at=datetime(2026, 3, 3, 4, 20, tzinfo=UTC),
    tone="bad",
    subject="Acorn Support v14 rolled back to v13 (error)",
    headline="v14 was taken back from the traffic.",
    safe="Clients are safe now: v13 answers all traffic.",
    advice="Nothing to do at once.",
    reasons=("error 9.1 % against 0.8 % (production)",),
    agency="North",
    client="acorn",
    pipeline="support",
    what="v14",
    url="https://retune.example/c/acorn/support/runs/14/",
    incident="version",
)
KINDS = sorted(notifiers.POSTERS)


@contextmanager
def hook(body: bytes = b"ok", status: int = 200, **headers: str) -> Iterator[tuple[str, list[tuple[Any, bytes]]]]:
    """The address of a server that keeps (headers, body) of what it is sent, and answers as told."""
    heard: list[tuple[Any, bytes]] = []
    answer = says(body, status, **headers)

    def keep(handler: BaseHTTPRequestHandler) -> None:
        heard.append((handler.headers, handler.rfile.read(int(handler.headers["Content-Length"]))))
        answer(handler)

    with server(keep) as port:
        yield f"http://127.0.0.1:{port}/hook", heard


def target(url: str, *secrets: str) -> Target:
    return Target(url, "routing-key", secrets or (new_secret(),), allow_private=True, timeout_s=5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_channel_gets_one_post_of_json_that_says_what_it_is_about(kind: str) -> None:
    with hook(status=202) as (url, heard):
        assert notifiers.load_poster(kind).post(EVENT, target(url)) == 202

    ((headers, body),) = heard
    assert headers["Content-Type"] == "application/json"
    assert isinstance(json.loads(body), dict)
    said = json.dumps(json.loads(body), ensure_ascii=False)
    assert all(words in said for words in (EVENT.subject, EVENT.safe, EVENT.reasons[0], EVENT.url))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("status", [301, 400, 404, 429, 500])
def test_what_a_server_refuses_is_a_send_failed_with_its_status_and_words(kind: str, status: int) -> None:
    with hook(b"invalid_token", status) as (url, _heard), pytest.raises(SendFailed, match="invalid_token") as caught:
        notifiers.load_poster(kind).post(EVENT, target(url))

    assert (caught.value.code, caught.value.is_gone) == (status, False)


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_may_ask_for_patience_or_say_that_it_is_gone(kind: str) -> None:
    with hook(status=429, Retry_After="90") as (url, _heard), pytest.raises(SendFailed) as later:
        notifiers.load_poster(kind).post(EVENT, target(url))
    with hook(status=410) as (url, _heard), pytest.raises(SendFailed) as gone:
        notifiers.load_poster(kind).post(EVENT, target(url))

    assert (later.value.wish_s, gone.value.is_gone) == (90.0, True)


@pytest.mark.parametrize("kind", KINDS)
def test_an_address_that_nobody_answers_or_that_is_forbidden_is_a_send_failed_that_names_no_address(kind: str) -> None:
    nobody = target(f"http://127.0.0.1:{free_port()}/hook/secret")
    for forbidden in (nobody, replace(nobody, allow_private=False), replace(nobody, url="ftp://hook.example/secret")):
        with pytest.raises(SendFailed) as caught:
            notifiers.load_poster(kind).post(EVENT, forbidden)
        assert "secret" not in str(caught.value)


def test_slack_is_told_in_plain_text_and_calls_nobody() -> None:
    rude = replace(EVENT, subject="<!channel> *bold* @all", reasons=("[here](http://bad.example)",))
    with hook() as (url, heard):
        notifiers.load_poster("slack").post(rude, target(url))

    told = json.loads(heard[0][1])
    assert {block["text"]["type"] for block in told["blocks"] if "text" in block} == {"plain_text"}
    assert "<!channel>" not in told["text"] and "@all" not in told["text"] and "](" not in told["text"]


def test_an_alarm_is_opened_and_closed_by_the_same_key() -> None:
    over = replace(EVENT, kind="promoted", is_over=True, tone="good", message_id="msg_2")
    with hook(status=202) as (url, heard):
        for event in (EVENT, over):
            notifiers.load_poster("pagerduty").post(event, target(url))

    opened, closed = (json.loads(body) for _headers, body in heard)
    assert (opened["event_action"], closed["event_action"]) == ("trigger", "resolve")
    assert opened["dedup_key"] == closed["dedup_key"] == "retune/acorn/support/version"
    assert opened["routing_key"] == "routing-key"
    assert opened["payload"]["severity"] == "error"


def test_a_webhook_is_verified_by_the_reference_library_with_either_secret() -> None:
    secrets = (new_secret(), new_secret())
    with hook() as (url, heard):
        notifiers.load_poster("webhook").post(replace(EVENT, subject="v14 ↶ ñ"), target(url, *secrets))

    ((headers, body),) = heard
    plain = {name.lower(): value for name, value in headers.items()}
    for secret in secrets:
        assert Webhook(secret).verify(body, plain)["type"] == "retune.rolled_back"
    with pytest.raises(WebhookVerificationError):
        Webhook(new_secret()).verify(body, plain)
    with pytest.raises(WebhookVerificationError):
        Webhook(secrets[0]).verify(body.replace(b"v14", b"v15"), plain)
    assert plain["webhook-id"] == "msg_1"


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", True),
        ("whsec_c2hvcnQ=", False),
        ("whsec_!!", False),
        ("c2VjcmV0", False),
    ],
)
def test_a_secret_that_cannot_sign_is_told(text: str, fits: bool) -> None:
    assert is_secret(text) is fits


def test_an_event_is_kept_and_read_back_whole() -> None:
    assert Event.of(json.loads(json.dumps(EVENT.kept()))) == EVENT
