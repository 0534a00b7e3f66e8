"""The letter about a rollback: drafted in the client's language, changed and sent by a person, safe in every part."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client as Browser
from django.urls import reverse
from django.utils import timezone

from agency.mail.compose import compose
from pipelines.actions import ActionRefused
from pipelines.actions.letters import Letter, send_letter
from pipelines.models import Notice, Rollback
from pipelines.outbox import send_due
from tenants import sharing
from tenants.models import AuditEvent, Client
from tests import factories
from tests.smtp import serving

HOSTILE = "<script>alert(1)</script>\u202e =cmd()\r\nBcc: all@evil.example"


@pytest.fixture
def address(acorn: Client, reader: Browser) -> str:
    pipeline = factories.make_pipeline(acorn)
    run = factories.make_production(pipeline)
    with factories.inside(acorn):
        versions = {"from_version": run.model_version, "to_version": run.model_version}
        said = {"sentence": "errors on shop, seen by owner@north.example", "decided_by": "canary"}
        when = {"decided_at": factories.NOW, "flipped_at": factories.NOW, "phase": "canary", "metric": "error"}
        row = Rollback.of(pipeline, pipeline=pipeline, **versions, **said, **when)
        row.save()
    return reverse("letter", args=["acorn", "support", row.pk])


def test_it_is_drafted_from_the_ledger_in_the_clients_language(engineer: Browser, address: str, acorn: Client) -> None:
    english = engineer.get(address).context["form"].initial
    with factories.inside(acorn):
        sharing.change_report(acorn, "es", "Mostrador", "tests", timezone.now())

    spanish = engineer.get(address).context["form"].initial

    assert "More of its answers failed" in english["body"] and "version v1 was taken back" in english["body"]
    assert "se retiró la versión v1" in spanish["body"] and "Mostrador" in spanish["body"]
    for hidden in ("shop", "north.example", "127.0.0.1"):
        assert hidden not in english["body"] + english["subject"] + spanish["body"]


def test_it_goes_out_as_it_was_written(engineer: Browser, address: str, acorn: Client) -> None:
    given = {
        "to": ["reader@north.example"],
        "others": "boss@acorn.example",
        "subject": "We are sorry",
        "body": "One\n\nTwo",
        "seen": 0,
    }

    engineer.post(address, given)

    with factories.inside(acorn):
        notice = Notice.objects.select_related("client", "pipeline").get(kind="letter")
        message = compose(notice)
        assert send_due(notice.pk, timezone.now())
        assert AuditEvent.objects.order_by("-seq")[0].verb == "letter.send"
    assert notice.recipients == ["reader@north.example", "boss@acorn.example"]
    assert message.subject == "We are sorry" and message.text.strip() == "One\n\nTwo"
    assert "sent" in engineer.get(address).text and "We are sorry" in engineer.get(address).text


def test_a_long_letter_arrives_whole_and_in_its_paragraphs(engineer: Browser, address: str, acorn: Client) -> None:
    body = "word " * 1_400 + "end.\r\n \t\r\nAnother paragraph."

    engineer.post(address, {"to": ["reader@north.example"], "subject": "We are sorry", "body": body, "seen": 0})

    with factories.inside(acorn):
        message = compose(Notice.objects.select_related("client", "pipeline").get(kind="letter"))
    assert message.text.split() == body.split() and "…" not in message.text
    assert "word end.</p>" in message.html and ">Another paragraph.</p>" in message.html


def test_a_mailbox_that_refused_the_letter_is_named_on_its_page(
    engineer: Browser, address: str, acorn: Client, settings: Any
) -> None:
    given = {
        "to": ["reader@north.example"],
        "others": "boss@acorn.example",
        "subject": "We are sorry",
        "body": "One",
        "seen": 0,
    }
    engineer.post(address, given)

    with serving(settings) as inbox, factories.inside(acorn):
        inbox.refused["reader@north.example"] = "550 5.1.1 <b>No such user</b>"
        assert send_due(Notice.objects.get(kind="letter").pk, timezone.now())

    assert [mail["To"] for mail in inbox.mails] == ["boss@acorn.example"]
    page = engineer.get(address).text
    assert "reader@north.example: The mail server refused the recipient: 550 5.1.1 &lt;b&gt;No such user" in page


def test_a_letter_that_nobody_took_is_not_on_its_way_for_ever(
    engineer: Browser, address: str, acorn: Client, settings: Any
) -> None:
    engineer.post(address, {"to": ["reader@north.example"], "subject": "We are sorry", "body": "One", "seen": 0})
    assert "on its way" in engineer.get(address).text

    with serving(settings) as inbox, factories.inside(acorn):
        inbox.refused["reader@north.example"] = "550 5.1.1 No such user"
        assert not send_due(Notice.objects.get(kind="letter").pk, timezone.now())

    page = engineer.get(address).text
    assert "not taken" in page and "on its way" not in page


def test_hostile_text_stays_text_in_every_part(engineer: Browser, address: str, acorn: Client) -> None:
    given = {"to": ["reader@north.example"], "subject": HOSTILE.partition("\r")[0], "body": HOSTILE, "seen": 0}

    engineer.post(address, given)

    with factories.inside(acorn):
        message = compose(Notice.objects.select_related("client", "pipeline").get(kind="letter"))
    assert "<script" not in message.html and "\u202e" not in message.html + message.text + message.subject
    assert "\n" not in message.subject


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"to": []}, "to"),
        ({"others": "nobody"}, "others"),
        ({"to": ["boss@other.example"]}, "to"),
        ({"body": ""}, "body"),
    ],
)
def test_what_cannot_be_sent_is_refused_and_kept(
    engineer: Browser, address: str, change: dict[str, object], field: str
) -> None:
    given = {"to": ["reader@north.example"], "subject": "Kept", "body": "Words that took an hour", "seen": 0}

    response = engineer.post(address, given | change)

    assert response.status_code == 422 and field in response.context["form"].errors
    assert "Kept" in response.text


@pytest.mark.parametrize(("took_s", "said"), [(1.2, "1.2 s"), (1.0, "1 s"), (0.04, "0 s"), (75.0, "75 s")])
def test_it_says_when_with_the_zone_and_how_long_it_took(
    engineer: Browser, address: str, acorn: Client, took_s: float, said: str
) -> None:
    with factories.inside(acorn):
        Rollback.objects.update(last_answer_at=factories.NOW + timedelta(seconds=took_s))

    body = engineer.get(address).context["form"].initial["body"]

    assert "March 3, 2026, 04:00 UTC version v1" in body
    assert f"Its last answer came {said} after the decision." in body


def test_a_second_click_sends_nothing_and_says_so(engineer: Browser, address: str, acorn: Client) -> None:
    shown = engineer.get(address).context["form"].initial["seen"]
    given = {"to": ["reader@north.example"], "subject": "We are sorry", "body": "One", "seen": shown}

    first, second = engineer.post(address, given), engineer.post(address, given)

    assert first.status_code == 303 and second.status_code == 422
    assert "A letter about this was sent a moment ago" in second.text
    with factories.inside(acorn):
        assert Notice.objects.filter(kind="letter").count() == 1
    # Whoever means it sends the form as it came back.
    assert 'name="seen" value="1"' in second.text
    assert engineer.post(address, given | {"seen": 1}).status_code == 303


@pytest.mark.django_db(transaction=True)
def test_of_two_clicks_in_one_moment_one_sends(address: str, acorn: Client) -> None:
    letter = Letter("We are sorry", "One", ("reader@north.example",), 0)
    said: list[str] = []

    def click() -> None:
        try:
            with factories.inside(acorn):
                rollback = Rollback.objects.select_related("pipeline").get()
                send_letter(rollback, letter, actor="tests", now=factories.NOW)
            said.append("sent")
        except ActionRefused as refused:
            said.append(str(refused)[:24])
        finally:
            connection.close()

    clicks = [threading.Thread(target=click) for _ in range(2)]
    for one in clicks:
        one.start()
    for one in clicks:
        one.join()

    assert sorted(said) == ["A letter about this was ", "sent"]


def test_there_is_no_letter_about_a_rollback_that_moved_no_traffic(
    engineer: Browser, address: str, acorn: Client
) -> None:
    log = reverse("rollback-log")
    assert address in engineer.get(log).text
    with factories.inside(acorn):
        Rollback.objects.update(flipped_at=None)

    assert address not in engineer.get(log).text
    assert engineer.get(address).status_code == 404


def test_what_answers_is_what_answers_when_it_is_written(engineer: Browser, address: str, acorn: Client) -> None:
    with factories.inside(acorn):
        pipeline = Rollback.objects.select_related("pipeline").get().pipeline
    factories.make_production(pipeline)

    body = engineer.get(address).context["form"].initial["body"]

    assert "is in service and safe: version v2 answers all requests" in body
