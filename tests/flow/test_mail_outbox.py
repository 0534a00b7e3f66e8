"""The outbox: told once, tried again, never blocking."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.core.mail import EmailMultiAlternatives

from pipelines import outbox
from pipelines.models import Notice, Run
from pipelines.notifiers import Message
from pipelines.notifiers.fake import FakeNotifier
from tenants.models import Client
from tests import factories
from tests.conftest import Clock

NOTHING = Message("s", "<p>h</p>", "t", "<1@x>")


@pytest.fixture
def post() -> Iterator[FakeNotifier]:
    FakeNotifier.reset()
    yield FakeNotifier()
    FakeNotifier.reset()


@pytest.fixture
def run(in_acorn: Client) -> Run:
    return factories.make_run(factories.make_pipeline(in_acorn), at="compare", status="held")


def plain(notice: Notice, address: str) -> Message:
    return NOTHING


def test_a_notice_is_written_once_per_kind_and_run(run: Run, clock: Clock) -> None:
    first = outbox.notify(run, "rejected", clock.now, {"why": "accuracy"})
    again = outbox.notify(run, "rejected", clock.advance(hours=1))

    assert (again.pk, again.created_at) == (first.pk, first.created_at)
    assert (first.recipients, first.due_at) == (["team@north.example"], first.created_at)
    assert first.detail == {"stage": "compare", "reason": "left held by a test", "why": "accuracy"}


def test_a_run_that_is_held_in_two_stages_is_told_twice(run: Run, clock: Clock) -> None:
    outbox.notify(run, "held", clock.now)
    run.stage = "deploy"
    outbox.notify(run, "held", clock.now)

    assert Notice.objects.filter(kind="held").count() == 2


def test_a_run_that_is_held_again_after_an_approval_is_told_again(run: Run, clock: Clock) -> None:
    for _ in range(2):
        outbox.notify(run, "held", clock.now)
    run.approvals = {"compare": [{"by": "owner", "reason": "go on", "at": clock.now.isoformat()}]}
    outbox.notify(run, "held", clock.now)

    assert Notice.objects.filter(kind="held").count() == 2


def test_an_unknown_kind_is_refused(run: Run, clock: Clock) -> None:
    with pytest.raises(ValueError, match="gossip"):
        outbox.notify(run, "gossip", clock.now)


def test_without_recipients_the_row_is_kept_and_never_due(in_acorn: Client, clock: Clock, post: FakeNotifier) -> None:
    run = factories.make_run(factories.make_pipeline(in_acorn, recipients=()), status="held")

    notice = outbox.notify(run, "held", clock.now)

    assert notice.due_at is None
    assert not outbox.send_due(notice.pk, clock.now, plain, post)


def test_a_sent_notice_is_not_sent_again(run: Run, clock: Clock, post: FakeNotifier) -> None:
    notice = outbox.notify(run, "held", clock.now)

    first = outbox.send_due(notice.pk, clock.now, plain, post)
    second = outbox.send_due(notice.pk, clock.advance(days=1), plain, post)

    notice.refresh_from_db()
    assert (first, second, len(post.sent)) == (True, False, 1)
    assert (notice.sent_at, notice.due_at, notice.error) == (factories.NOW, None, "")


def test_a_mail_server_that_is_down_is_tried_again_after_1_5_15_and_60_minutes(
    run: Run, clock: Clock, post: FakeNotifier
) -> None:
    notice = outbox.notify(run, "held", clock.now)
    FakeNotifier.refusals = 5
    pauses = []

    for _attempt in range(5):
        assert not outbox.send_due(notice.pk, clock.now, plain, post)
        notice.refresh_from_db()
        assert notice.due_at is not None
        pauses.append(notice.due_at - clock.now)
        assert not outbox.send_due(notice.pk, notice.due_at - timedelta(seconds=1), plain, post)
        clock.now = notice.due_at

    assert pauses == [timedelta(minutes=m) for m in (1, 5, 15, 60, 60)]
    assert "refused" in notice.error
    assert outbox.send_due(notice.pk, clock.now, plain, post)
    notice.refresh_from_db()
    assert (notice.attempts, notice.error) == (6, "")


def test_after_a_day_of_refusals_it_is_given_up_with_its_error(run: Run, clock: Clock, post: FakeNotifier) -> None:
    notice = outbox.notify(run, "held", clock.now)
    FakeNotifier.refusals = 1000
    tries = 0

    while notice.due_at is not None:
        outbox.send_due(notice.pk, notice.due_at, plain, post)
        tries, clock.now = tries + 1, notice.due_at
        notice.refresh_from_db()

    assert tries == outbox.MAX_ATTEMPTS
    assert clock.now - factories.NOW > timedelta(hours=23)
    assert (notice.sent_at, "refused" in notice.error) == (None, True)


def test_a_notice_that_cannot_be_composed_is_postponed_before_it_raises(
    run: Run, clock: Clock, post: FakeNotifier
) -> None:
    notice = outbox.notify(run, "held", clock.now)

    def broken(notice: Notice, address: str) -> Message:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        outbox.send_due(notice.pk, clock.now, broken, post)

    notice.refresh_from_db()
    assert notice.due_at == clock.now + timedelta(minutes=1)


def test_a_second_worker_finds_the_claim_and_sends_nothing(run: Run, clock: Clock, post: FakeNotifier) -> None:
    notice = outbox.notify(run, "held", clock.now)
    others: list[bool] = []

    def slow(claimed: Notice, address: str) -> Message:
        others.append(outbox.send_due(claimed.pk, clock.now, plain, post))
        return NOTHING

    assert outbox.send_due(notice.pk, clock.now, slow, post)
    assert (others, len(post.sent)) == ([False], 1)


def test_what_is_registered_at_start_composes_and_e_mail_is_the_way(
    run: Run, clock: Clock, mailoutbox: list[EmailMultiAlternatives]
) -> None:
    notice = outbox.notify(run, "held", clock.now)

    assert outbox.send_due(notice.pk, clock.now)

    (mail,) = mailoutbox
    assert (mail.to, mail.subject) == (["team@north.example"], "Acorn Support v1 needs you (compare)")
    assert [kind for _body, kind in mail.alternatives] == ["text/html"]
