"""What clients, rows, models and people wrote is hostile: no mail and no message to a channel is bent by it."""

from __future__ import annotations

import email
import email.policy
import json
import unicodedata
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import pytest
from django.conf import settings

from agency.mail.channels.events import describe
from agency.mail.compose import compose
from agency.mail.digest import compose_digest
from pipelines import notifiers, outbox
from pipelines.models import GateResult, Job, Notice, Rollback, Run
from pipelines.notifiers import pagerduty, slack, webhook
from pipelines.notifiers.events import Event
from tenants import scope
from tenants.models import Agency, Client, Role
from tenants.telling import choices
from tests import factories
from tests.flow.test_mail_words import DETAILS, take_back

NAME_CHARS = 200  # What the columns hold.
HOSTILE = {
    "a new header": "x\r\nBcc: all@example.org\r\nContent-Type: text/html\r\n\r\n<b>owned</b>",
    "markup": "</p></td><script>alert(1)</script><img src='http://evil.example/p.gif' onerror=alert(1)>",
    "a formula": "=cmd|'/C calc'!A0",
    "a direction": "\u202egnip\u2066\u200f v1",
    "length": "W" * 10_000,
    "pictures": "👩\u200d👩\u200d👧 \U0001f600 ñ 漢",
    "an encoded word": "=?utf-8?q?Bcc:_all=40example.org?= =?utf-8?b?QmNjOiBh?=",
    "a template": "{{ settings.SECRET_KEY }}{% include 'portal/people.html' %} %(what)s %s",
    "a mention": "<!channel> <http://evil.example|click> @here @all [text](http://evil.example)",
    "a terminal": "\x1b[31mred\x1b[0m\x07\x08",
    "a boundary": "--===============1==\nContent-Disposition: attachment\n.\r\n.\r\nMAIL FROM:<a@example.org>",
}


class Page(HTMLParser):
    """The tags and addresses of a mail."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value or "" for name, value in attrs if name in ("href", "src", "background", "action")]
        assert not [name for name, _value in attrs if name.startswith("on")]


@pytest.fixture
def world(in_acorn: Client) -> Run:
    factories.make_member(in_acorn.agency, Role.OWNER, email="boss@north.example")
    production = factories.make_production(factories.make_pipeline(in_acorn))
    run = factories.make_run(production.pipeline, at="monitor", status="held")
    take_back(run)
    return run


def poison(run: Run, text: str) -> None:
    """Every place that somebody outside can write in."""
    name = text[:NAME_CHARS]
    Client.objects.update(name=name)
    type(run.pipeline).objects.update(name=name)
    Agency.objects.filter(pk=run.agency_id).update(name=name)
    Run.objects.filter(pk=run.pk).update(reason=text)
    for number, gate in enumerate(GateResult.objects.filter(run=run)):
        GateResult.objects.filter(pk=gate.pk).update(sentence=text, name=f"{text[:50]}{number}", verdict="failed")
    Rollback.objects.filter(rollout__run=run).update(sentence=text, decided_by=name)
    Rollback.objects.filter(from_version__run=run).update(sentence=text, decided_by=name)
    Job.objects.filter(run=run).update(log_tail=text, status="failed")


def notices(run: Run, text: str) -> Iterator[Notice]:
    run = Run.objects.get(pk=run.pk)
    for kind in outbox.KINDS:
        detail = DETAILS.get(kind, {}) | {"reason": text, "host": text[:60], "channel": text[:60], "to": text[:20]}
        yield Notice.objects.get(pk=outbox.notify(run, kind, factories.NOW, detail).pk)


def check_text(text: str, lines: bool = False) -> None:
    bad = [char for char in text if unicodedata.category(char) in ("Cc", "Cf") and not (lines and char == "\n")]
    assert bad == []


@pytest.mark.parametrize("name", HOSTILE)
def test_every_mail_stays_one_mail_with_the_headers_that_we_gave_it(
    name: str, world: Run, mailoutbox: list[Any]
) -> None:
    poison(world, HOSTILE[name])
    messages = [compose(notice, "team@north.example") for notice in notices(world, HOSTILE[name])]
    with scope.agency_scope(world.agency_id):
        row = choices.choice_of(world.agency_id, "boss@north.example")
        messages.append(compose_digest(row, factories.NOW, factories.NOW))

    for message in messages:
        assert message is not None
        notifiers.load("email").send(message, ["team@north.example"])
    for sent, message in zip(mailoutbox, messages, strict=True):
        read = email.message_from_bytes(sent.message().as_bytes(), policy=email.policy.default)
        assert set(read.keys()) <= HEADERS and len(read.keys()) == len(set(read.keys()))
        assert (read["Bcc"], read["To"]) == (None, "team@north.example")
        assert [part.get_content_type() for part in read.iter_parts()] == ["text/plain", "text/html"]
        check_text(message.subject)
        check_text(message.text, lines=True)
        assert len(message.subject) <= 150 and len(sent.message().as_bytes()) < 250_000
        assert not [line for line in message.text.splitlines() if line.startswith(("Bcc:", "Content-", "MAIL FROM"))]
        check_page(message.html)


HEADERS = {
    "Content-Type", "MIME-Version", "Subject", "From", "To", "Date", "Message-ID", "In-Reply-To", "References",
    "Auto-Submitted", "List-Unsubscribe", "List-Unsubscribe-Post",
}  # fmt: skip


def check_page(html: str) -> None:
    page = Page()
    page.feed(html)
    assert not page.tags & {"script", "img", "iframe", "form", "object", "svg", "link", "style"}
    assert [link for link in page.links if not link.startswith(f"{settings.BASE_URL}/")] == []
    assert settings.SECRET_KEY not in html


@pytest.mark.parametrize("name", HOSTILE)
def test_every_message_to_a_channel_stays_what_it_is(name: str, world: Run) -> None:
    poison(world, HOSTILE[name])
    for notice in notices(world, HOSTILE[name]):
        event = Event.of(json.loads(json.dumps(describe(notice).kept())))
        chat, alarm = slack.message(event), pagerduty.message(event, "key")
        told = webhook.document(event)
        for document in (chat, alarm, told):
            for text in texts(document):
                check_text(text.replace(slack.ZERO_WIDTH, ""), lines=True)
            assert len(json.dumps(document)) < 60_000
        assert "<!channel>" not in chat["text"] and "|click>" not in chat["text"] and "@all" not in chat["text"]
        assert "](" not in chat["text"]
        assert all(len(text) <= 3000 for text in texts(chat["blocks"]))
        assert len(alarm["payload"]["summary"]) <= 1024 and len(alarm["dedup_key"]) <= 255


def texts(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict():
            for item in value.values():
                yield from texts(item)
        case list() | tuple():
            for item in value:
                yield from texts(item)
