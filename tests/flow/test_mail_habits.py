"""What is told again, what is not, what ends a trouble, and who hears of it when nobody acts or mail is down."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from agency.mail.channels.events import describe
from pipelines import actions, outbox
from pipelines.domain.transitions import RunStatus
from pipelines.models import Delivery, Notice, Run
from pipelines.notifiers import Message, pagerduty
from pipelines.notifiers.fake import FakeNotifier
from pipelines.notifiers.webhook import new_secret
from pipelines.shipping.ending import on_rest
from tenants import scope
from tenants.models import Client, Role
from tenants.telling import choices
from tenants.telling.channels import Leads, add_channel
from tests import factories
from tests.conftest import Clock

BOSS = "boss@north.example"
TEAM = "team@north.example"


@pytest.fixture
def post() -> Iterator[FakeNotifier]:
    FakeNotifier.reset()
    yield FakeNotifier()
    FakeNotifier.reset()


@pytest.fixture
def client(in_acorn: Client) -> Client:
    factories.make_member(in_acorn.agency, Role.OWNER, email=BOSS)
    return in_acorn


def plain(notice: Notice, address: str) -> Message:
    return Message(notice.kind, "<p>h</p>", "t", f"<{notice.pk}.{address}>")


def failed(client: Client, clock: Clock, times: int) -> list[Notice]:
    """So many runs of one pipeline fail, one a day."""
    pipeline = client.pipelines.first() if hasattr(client, "pipelines") else None
    pipeline = pipeline or factories.make_pipeline(client)
    found = []
    for _ in range(times):
        run = factories.make_run(pipeline, at="finetune", status="failed", now=clock.now)
        on_rest(run, clock.now)
        found.append(Notice.objects.get(kind="failed", run=run))
        clock.advance(days=1)
    return found


def kinds() -> list[str]:
    return list(Notice.objects.order_by("id").values_list("kind", flat=True))


def test_a_trouble_that_repeats_is_told_once_a_week_and_its_end_once(client: Client, clock: Clock) -> None:
    told = failed(client, clock, 9)

    assert [notice.due_at is not None for notice in told] == [True, *[False] * 6, True, False]
    done = factories.make_run(told[0].pipeline, at=factories.DONE, now=clock.now)
    on_rest(done, clock.now)
    on_rest(done, clock.now)

    (over,) = Notice.objects.filter(kind="recovered")
    assert (over.detail["of"], over.detail["muted"], over.detail["run"]) == ("failed", 7, told[0].run_id)
    assert over.due_at == clock.now
    (again,) = failed_once_more(told[0], clock)
    assert again.due_at is not None, "after a recovery it is news"


def failed_once_more(first: Notice, clock: Clock) -> list[Notice]:
    run = factories.make_run(first.pipeline, at="finetune", status="failed", now=clock.now)
    on_rest(run, clock.now)
    return list(Notice.objects.filter(kind="failed", run=run))


def test_another_stage_is_another_trouble(client: Client, clock: Clock) -> None:
    (first,) = failed(client, clock, 1)
    run = factories.make_run(first.pipeline, at="evaluate", status="failed", now=clock.now)

    on_rest(run, clock.now)

    assert Notice.objects.get(run=run).due_at == clock.now


def test_nothing_is_over_where_nothing_was(client: Client, clock: Clock) -> None:
    done = factories.make_run(factories.make_pipeline(client), at=factories.DONE, now=clock.now)

    on_rest(done, clock.now)

    assert "recovered" not in kinds()


@pytest.fixture
def held(client: Client, clock: Clock) -> Run:
    run = factories.make_run(factories.make_pipeline(client), at="compare", status="held", now=clock.now)
    on_rest(run, clock.now)
    return run


def sent_by(clock: Clock, post: FakeNotifier) -> list[tuple[str, tuple[str, ...]]]:
    """Sends what is due and gives who got which kind."""
    FakeNotifier.sent.clear()
    for notice in Notice.objects.filter(due_at__lte=clock.now).order_by("id"):
        outbox.send_due(notice.pk, clock.now, plain, post)
    return [(message.subject, people) for message, people in FakeNotifier.sent]


def test_a_held_run_that_nobody_looks_at_is_told_again_and_then_to_the_owners(
    held: Run, clock: Clock, post: FakeNotifier
) -> None:
    assert sent_by(clock, post) == [("held", (TEAM,))]
    clock.advance(hours=4)
    assert sent_by(clock, post) == [("reminder", (TEAM,))]
    clock.advance(hours=20)
    assert sent_by(clock, post) == [("escalated", (BOSS,))]
    assert not Notice.objects.filter(due_at__isnull=False).exists()


def test_whoever_takes_it_ends_the_reminders(held: Run, clock: Clock, post: FakeNotifier) -> None:
    sent_by(clock, post)

    actions.acknowledge(held, actor="night@north.example", reason="I am on it", now=clock.now)
    clock.advance(days=2)

    assert sent_by(clock, post) == []
    assert Run.objects.get(pk=held.pk).status == RunStatus.HELD


def test_a_decision_ends_the_reminders_and_closes_the_alarm(held: Run, clock: Clock, post: FakeNotifier) -> None:
    actions.approve(held, actor=BOSS, reason="fine", now=clock.now)
    clock.advance(days=2)

    assert [kind for kind, _people in sent_by(clock, post)] == ["held"]
    assert kinds() == ["held", "reminder", "escalated", "decided"]


def test_a_reminder_of_a_run_that_went_on_by_another_way_is_dropped(
    held: Run, clock: Clock, post: FakeNotifier
) -> None:
    sent_by(clock, post)
    Run.objects.filter(pk=held.pk).update(status=RunStatus.QUEUED)
    clock.advance(days=2)

    assert sent_by(clock, post) == []
    assert {n.error for n in Notice.objects.exclude(kind="held")} == {"Nobody needed it any more."}


def test_each_person_gets_a_mail_of_their_own_and_none_twice(client: Client, clock: Clock, post: FakeNotifier) -> None:
    people = ["a@north.example", "b@north.example", "c@north.example"]
    run = factories.make_run(factories.make_pipeline(client, recipients=people), status="held")
    notice = outbox.notify(run, "held", clock.now)

    class OneThenNone(FakeNotifier):
        def send(self, message: Message, recipients: object) -> None:
            super().send(message, recipients)  # type: ignore[arg-type]
            FakeNotifier.refusals = 1

    assert not outbox.send_due(notice.pk, clock.now, plain, OneThenNone())
    FakeNotifier.refusals = 0
    assert outbox.send_due(notice.pk, clock.advance(minutes=2), plain, post)

    assert sorted(to for _message, to in FakeNotifier.sent) == [(one,) for one in people]


def test_whoever_left_gets_none_of_that_client_and_owners_are_told_all_the_same(
    held: Run, clock: Clock, post: FakeNotifier
) -> None:
    for address in (TEAM, BOSS):
        with scope.agency_scope(held.agency_id):
            choices.leave(choices.Leaving(held.agency_id, held.client_id, address), clock.now)

    assert sent_by(clock, post) == []
    clock.advance(days=1)
    assert sent_by(clock, post) == [("escalated", (BOSS,))]
    assert choices.wanting(held.agency_id, held.client_id + 1, "held", [TEAM]) == [TEAM]


def test_channels_hear_once_that_mail_is_down_and_once_that_it_is_up_again(
    held: Run, clock: Clock, post: FakeNotifier
) -> None:
    with scope.agency_scope(held.agency_id):
        leads = Leads("http://127.0.0.1:9/hook", secret=new_secret())
        add_channel(held.pipeline.agency, ("ops", "webhook"), leads, ["mail_down"], actor="tests", now=clock.now)
    FakeNotifier.refusals = 6
    for _ in range(6):
        sent_by(clock, post)
        clock.advance(hours=1)
    assert kinds().count("mail_down") == 1
    sent_by(clock, post)
    sent_by(clock.__class__(clock.now + timedelta(days=1)), post)

    assert (kinds().count("mail_down"), kinds().count("mail_up")) == (1, 1)
    told = Delivery.objects.order_by("id").values_list("notice__kind", flat=True)
    assert list(told) == ["mail_down", "mail_up"]


def test_the_alarm_about_mail_is_closed_where_it_was_opened_whosever_mail_is_taken_first(
    held: Run, birch: Client, clock: Clock, post: FakeNotifier
) -> None:
    with scope.agency_scope(held.agency_id):
        leads = Leads("http://127.0.0.1:9/hook", secret=new_secret())
        for place in (held.pipeline.agency, held.client, birch):
            named = (getattr(place, "slug", "ops"), "webhook")
            add_channel(place, named, leads, ["mail_down"], actor="tests", now=clock.now)
    FakeNotifier.refusals = 3
    for _ in range(3):
        sent_by(clock, post)
        clock.advance(hours=1)
    with factories.inside(birch):
        run = factories.make_run(factories.make_pipeline(birch, recipients=[TEAM]), status="failed")
        outbox.notify(run, "failed", clock.now)
        assert sent_by(clock, post) == [("failed", (TEAM,))]

    with scope.agency_scope(held.agency_id):
        down, up = Notice.objects.filter(kind__in=("mail_down", "mail_up")).order_by("id")
        told = [set(row.deliveries.values_list("channel__name", flat=True)) for row in (down, up)]
        opened, closed = (pagerduty.message(describe(row), "key") for row in (down, up))
    assert told[0] == told[1] == {held.pipeline.agency.slug, held.client.slug}
    assert (opened["event_action"], closed["event_action"]) == ("trigger", "resolve")
    assert opened["dedup_key"] == closed["dedup_key"]
