"""One mailbox refuses: everybody else hears all the same, and staff find out who did not."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from pipelines import outbox
from pipelines.models import Notice
from pipelines.notifiers import Message, SendFailed
from pipelines.notifiers.email import EmailNotifier
from tenants.models import AuditEvent, Client
from tests import factories
from tests.conftest import Clock
from tests.smtp import Inbox, serving, to_nobody

A, DEAD, C = "a@north.example", "dead@north.example", "c@north.example"
GONE, LATER = "550 5.1.1 No such user", "450 4.2.0 Greylisted"


def plain(notice: Notice, address: str) -> Message:
    return Message("s", "<p>h</p>", "t", f"<{notice.pk}.{address}>")


@pytest.fixture
def inbox(settings: Any) -> Iterator[Inbox]:
    with serving(settings) as found:
        yield found


@pytest.fixture
def notice(in_acorn: Client, clock: Clock) -> Notice:
    pipeline = factories.make_pipeline(in_acorn, recipients=[DEAD, A, C])
    return outbox.notify(factories.make_run(pipeline, at="compare", status="failed"), "failed", clock.now)


def tried(notice: Notice, now: Any) -> bool:
    is_sent = outbox.send_due(notice.pk, now, plain, EmailNotifier())
    notice.refresh_from_db()
    return is_sent


def got(inbox: Inbox) -> list[str]:
    return [str(mail["To"]) for mail in inbox.mails]


def kinds() -> list[str]:
    return list(Notice.objects.order_by("id").values_list("kind", flat=True))


def test_a_mailbox_that_is_gone_keeps_nobody_from_hearing_and_is_not_tried_again(
    notice: Notice, clock: Clock, inbox: Inbox
) -> None:
    inbox.refused[DEAD] = GONE

    assert tried(notice, clock.now)
    assert not tried(notice, clock.advance(days=1))

    assert got(inbox) == [A, C]
    assert (notice.attempts, notice.due_at, notice.sent_at) == (1, None, factories.NOW)
    assert notice.error == f"{DEAD}: The mail server refused the recipient: {GONE}"
    (noted,) = AuditEvent.objects.filter(verb="mail.refuse")
    assert (noted.subject, noted.detail["kind"], noted.detail["pipeline"]) == (DEAD, "failed", "support")
    assert GONE in noted.detail["said"]


def test_a_mailbox_that_refuses_for_now_is_tried_again_alone(notice: Notice, clock: Clock, inbox: Inbox) -> None:
    inbox.refused[DEAD] = LATER

    assert not tried(notice, clock.now)
    assert (got(inbox), notice.due_at) == ([A, C], clock.now + timedelta(minutes=1))
    assert notice.error == f"{DEAD}: The mail server refused the recipient: {LATER}"
    inbox.refused.clear()
    assert tried(notice, clock.advance(minutes=1))

    assert (got(inbox), notice.error) == ([A, C, DEAD], "")
    assert not AuditEvent.objects.filter(verb="mail.refuse").exists()


def test_a_mailbox_that_refuses_for_a_day_is_given_up_and_noted_and_mail_is_never_told_to_be_down(
    notice: Notice, clock: Clock, inbox: Inbox
) -> None:
    inbox.refused[DEAD] = LATER

    while notice.due_at is not None:
        tried(notice, notice.due_at)

    assert (got(inbox), notice.attempts) == ([A, C], outbox.MAX_ATTEMPTS)
    assert notice.error.startswith(f"{DEAD}: ") and notice.sent_at is not None
    assert "mail_down" not in kinds()
    assert AuditEvent.objects.get(verb="mail.refuse").subject == DEAD


def test_a_notice_that_no_mailbox_takes_is_not_sent_and_says_of_each_why(
    notice: Notice, clock: Clock, inbox: Inbox
) -> None:
    inbox.refused |= dict.fromkeys((A, DEAD, C), GONE)

    assert not tried(notice, clock.now)

    assert (notice.sent_at, notice.due_at, len(notice.error.splitlines())) == (None, None, 3)
    assert AuditEvent.objects.filter(verb="mail.refuse").count() == 3


def test_mail_is_down_at_the_third_try_that_meets_no_server_whatever_one_mailbox_did_before(
    notice: Notice, clock: Clock, inbox: Inbox, settings: Any
) -> None:
    inbox.refused |= dict.fromkeys((A, DEAD, C), LATER)
    for _ in range(3):
        tried(notice, clock.now)
        clock.advance(hours=1)
    to_nobody(settings)
    for _ in range(2):
        tried(notice, clock.now)
        clock.advance(hours=1)
    assert "mail_down" not in kinds()

    tried(notice, clock.now)

    assert kinds().count("mail_down") == 1


def test_an_address_at_which_the_server_breaks_off_cannot_keep_the_others_waiting(notice: Notice, clock: Clock) -> None:
    class BreaksOff:
        def __init__(self) -> None:
            self.taken: list[str] = []

        def send(self, message: Message, recipients: Any) -> None:
            if recipients == [DEAD]:
                raise SendFailed("The mail server broke off.", is_away=True)
            self.taken += recipients

    server = BreaksOff()
    for _ in range(3):
        outbox.send_due(notice.pk, clock.now, plain, server)
        clock.advance(hours=1)

    assert sorted(server.taken) == [A, C]
