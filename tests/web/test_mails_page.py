"""Which mails a person gets: chosen on a page, left by one click without an account, summed up on Mondays."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.mail import EmailMultiAlternatives
from django.test import Client as Browser

from agency.leaving.person.needle import Needle
from agency.leaving.person.search import find
from agency.mail.compose import compose
from agency.mail.digest import compose_digest
from pipelines import outbox
from pipelines.models import Notice
from pipelines.outbox import digests
from tenants import scope
from tenants.models import AuditEvent, Client, MailChoice, Membership, Role
from tenants.people import roles
from tenants.telling import choices
from tests import factories
from tests.conftest import Clock
from tests.smtp import serving

OWNER = "owner@north.example"
MONDAY = datetime(2026, 3, 9, 7, 0, tzinfo=UTC)


def choice(client: Client, address: str = OWNER) -> MailChoice:
    return choices.choice_of(client.agency_id, address)


def saved(client: Client, **given: object) -> MailChoice:
    with scope.agency_scope(client.agency_id):
        wanted = {"off_kinds": [], "off_clients": [], "digest": False} | given
        return choices.choose(client.agency, OWNER, wanted, 0, factories.NOW)


def test_kinds_clients_and_the_digest_are_chosen_on_the_page(owner: Browser, acorn: Client, birch: Client) -> None:
    page = owner.get("/mails/").content.decode()
    assert page.count("checked") == len(choices_on(page)) - 1, "everything is on at first but the digest"

    answer = owner.post("/mails/", {"kinds": ["held", "failed"], "clients": ["acorn"], "digest": "on", "revision": 0})

    assert answer.status_code == 303
    row = choice(acorn)
    assert "promoted" in row.off_kinds and "held" not in row.off_kinds
    assert row.off_clients == [birch.pk]
    assert row.due_at is not None and row.due_at.weekday() == 0
    with scope.agency_scope(acorn.agency_id):
        assert AuditEvent.objects.filter(verb="mails.choose", actor=OWNER).count() == 1


def choices_on(page: str) -> list[str]:
    return re.findall(r'<input type="checkbox"', page)


def test_a_page_that_is_old_by_now_changes_nothing(owner: Browser, acorn: Client) -> None:
    saved(acorn, off_kinds=["promoted"])

    answer = owner.post("/mails/", {"kinds": [], "clients": [], "revision": 0})

    assert answer.status_code == 422 and "Load the page again" in answer.content.decode()
    assert choice(acorn).off_kinds == ["promoted"]


def test_staff_of_one_client_choose_among_theirs(acorn: Client, birch: Client) -> None:
    browser = Browser()
    browser.force_login(factories.make_member(acorn.agency, Role.ENGINEER, acorn))

    page = browser.get("/mails/").content.decode()

    assert "Acorn" in page and "Birch" not in page


@pytest.fixture
def notice(acorn: Client, clock: Clock) -> Notice:
    run = factories.make_run(factories.make_pipeline(acorn, recipients=[OWNER]), at="compare", status="held")
    with factories.inside(acorn):
        return outbox.notify(run, "held", clock.now)


def test_one_click_without_an_account_ends_the_mails_of_one_client_and_looking_changes_nothing(
    notice: Notice, acorn: Client, birch: Client, mailoutbox: list[EmailMultiAlternatives]
) -> None:
    with factories.inside(acorn):
        assert outbox.send_due(notice.pk, factories.NOW)
    (mail,) = mailoutbox
    address = mail.extra_headers["List-Unsubscribe"].strip("<>")
    assert mail.extra_headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert address in mail.body and address.startswith("http://127.0.0.1:8420/mails/leave/")
    stranger, path = Browser(enforce_csrf_checks=True), address.removeprefix("http://127.0.0.1:8420")

    assert stranger.get(path).status_code == 200
    assert choice(acorn).off_clients == []
    clicked = stranger.post(path, "List-Unsubscribe=One-Click", content_type="application/x-www-form-urlencoded")

    assert clicked.status_code == 200 and clicked["Referrer-Policy"] == "no-referrer"
    assert choice(acorn).off_clients == [acorn.pk]
    assert choices.wanting(acorn.agency_id, acorn.pk, "held", [OWNER]) == []
    assert choices.wanting(acorn.agency_id, birch.pk, "held", [OWNER]) == [OWNER]
    stranger.post(path, {"again": "1"})
    assert choice(acorn).off_clients == []


@pytest.mark.parametrize("change", [lambda t: t[:-2] + "xx", lambda t: "nothing", lambda t: t + "a"])
def test_a_link_that_was_not_signed_here_is_nobodys(notice: Notice, acorn: Client, change: object) -> None:
    token = choices.ticket(choices.Leaving(acorn.agency_id, acorn.pk, OWNER))

    assert Browser().post(f"/mails/leave/{change(token)}/").status_code == 404  # type: ignore[operator]
    assert choice(acorn).off_clients == []


def test_owners_have_no_link_out_of_what_they_must_hear(notice: Notice, acorn: Client) -> None:
    with factories.inside(acorn):
        last = compose(Notice.objects.get(kind="escalated"), OWNER)

    assert last.leaving == "" and "as an owner" in last.text


def test_the_digest_says_what_needs_somebody_first_and_comes_once_a_week(
    notice: Notice, acorn: Client, birch: Client, owner: Browser, mailoutbox: list[EmailMultiAlternatives]
) -> None:
    done = factories.make_run(factories.make_pipeline(acorn, "returns"), at=factories.DONE)
    row = saved(acorn, digest=True)
    assert row.due_at == MONDAY
    with scope.agency_scope(acorn.agency_id):
        assert not digests.send_due(row.pk, MONDAY - timedelta(seconds=1))
        assert digests.send_due(row.pk, MONDAY)
        assert not digests.send_due(row.pk, MONDAY)

    (mail,) = mailoutbox
    assert (mail.to, mail.subject) == ([OWNER], "The week of 2 clients: 1 run needs you")
    assert mail.body.index("Acorn Support run 1: left held by a test") < mail.body.index("Runs: 1 succeeded")
    assert "Nothing happened at: Birch" in mail.body and done.status == "succeeded"
    assert choice(acorn).due_at == MONDAY + timedelta(days=7)
    path = mail.extra_headers["List-Unsubscribe"].strip("<>").removeprefix("http://127.0.0.1:8420")
    assert Browser().post(path).status_code == 200
    assert choice(acorn).due_at is None


@pytest.mark.parametrize(
    ("answer", "next_try", "noted"),
    [("550 5.1.1 No such user", timedelta(days=7), 1), ("450 4.2.0 Greylisted", timedelta(hours=1), 0)],
)
def test_a_digest_that_its_mailbox_refuses_for_good_waits_for_the_next_week_and_is_noted(
    acorn: Client, owner: Browser, settings: Any, answer: str, next_try: timedelta, noted: int
) -> None:
    row = saved(acorn, digest=True)
    with serving(settings) as inbox, scope.agency_scope(acorn.agency_id):
        inbox.refused[OWNER] = answer
        assert not digests.send_due(row.pk, MONDAY)
        assert AuditEvent.objects.filter(verb="mail.refuse", subject=OWNER).count() == noted

    assert choice(acorn).due_at == MONDAY + next_try


def test_whoever_left_the_agency_gets_no_digest(acorn: Client) -> None:
    row = saved(acorn, digest=True)

    with scope.agency_scope(acorn.agency_id):
        assert compose_digest(row, factories.NOW, MONDAY) is None
        assert not digests.send_due(row.pk, MONDAY)

    assert choice(acorn).due_at is None


@pytest.mark.parametrize(
    ("given", "is_kept"), [({}, False), ({"digest": True}, False), ({"off_kinds": ["promoted"], "digest": True}, True)]
)
def test_of_somebody_who_left_only_what_they_left_out_is_kept(
    acorn: Client, given: dict[str, object], is_kept: bool
) -> None:
    factories.make_member(acorn.agency, Role.OWNER, email="other@north.example")
    factories.make_member(acorn.agency, Role.OWNER, email=OWNER)
    saved(acorn, **given)
    with scope.agency_scope(acorn.agency_id):
        membership = Membership.objects.select_related("user").get(user__email=OWNER)
        roles.leave(membership, "other@north.example", factories.NOW, "moved on")

    row = choice(acorn)

    assert (row.pk is not None) == is_kept and row.due_at is None


def test_who_stays_staff_of_another_client_keeps_their_choice(acorn: Client, birch: Client) -> None:
    for client in (acorn, birch):
        factories.make_member(client.agency, Role.ENGINEER, client, OWNER)
    saved(acorn, digest=True)
    with scope.agency_scope(acorn.agency_id):
        roles.leave(Membership.objects.get(client=birch), "owner", factories.NOW, "moved on")

    assert choice(acorn).due_at is not None


def test_an_address_with_choices_is_found_among_a_persons_rows(acorn: Client) -> None:
    saved(acorn, off_kinds=["promoted"])

    [place] = [place for place in find(acorn, Needle(OWNER)).places if place.table == "tenants_mailchoice"]

    assert place.count == 1 and place.stays and OWNER in place.shown[0].text
