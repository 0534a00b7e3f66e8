"""Removing one's own account; what changes about signing in is in the ledger; limits where no account is needed."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import DatabaseError, transaction
from django.test import Client as Browser
from django.urls import reverse
from django.utils import timezone

from tenants import actions, ledger, scope, sharing
from tenants.models import Agency, ApiKey, AuditEvent, Client, Membership, Role, ShareLink, User
from tenants.models.audit_event import pseudonym_of
from tests import factories

KAY = "kay@north.example"
REMOVE = reverse("remove-account")


def signed_in(email: str) -> Browser:
    """By the password, and asked for it again a moment ago."""
    browser = Browser()
    browser.post(reverse("login"), {"login": email, "password": factories.PASSWORD})
    browser.post(reverse("account_reauthenticate"), {"password": factories.PASSWORD})
    return browser


@pytest.fixture
def kay(agency: Agency, acorn: Client) -> Browser:
    """An owner beside another, with a key and a share link of hers; signed in a moment ago."""
    factories.make_member(agency, Role.OWNER, email=KAY)
    browser = signed_in(KAY)
    with factories.inside(acorn):
        actions.issue_key(acorn, "robot", ["runs"], KAY, timezone.now())
        sharing.issue_link(acorn, None, "the board", 30, KAY, timezone.now())
    return browser


def acts(agency: Agency) -> list[AuditEvent]:
    with scope.agency_scope(agency.pk):
        return list(AuditEvent.objects.filter(client=None).order_by("seq"))


def test_a_person_removes_the_own_account(owner: Browser, kay: Browser, agency: Agency, acorn: Client) -> None:
    assert kay.post(REMOVE, {"email": KAY})["Location"] == reverse("login")

    assert kay.get(reverse("people")).status_code == 302
    assert not User.objects.filter(email=KAY).exists()
    assert Browser().post(reverse("login"), {"login": KAY, "password": factories.PASSWORD}).status_code == 200
    with scope.agency_scope(agency.pk):
        assert not Membership.objects.filter(user__email__contains="invalid").exists()
        assert ApiKey.objects.get().revoked_at is not None and ShareLink.objects.get().revoked_at is not None
    assert KAY not in owner.get(reverse("people")).text + owner.get(reverse("agency-audit")).text


def test_the_ledger_keeps_a_pseudonym_and_is_whole(owner: Browser, kay: Browser, agency: Agency, acorn: Client) -> None:
    kay.post(REMOVE, {"email": KAY})

    with scope.agency_scope(agency.pk):
        names = {(event.actor, event.subject) for event in AuditEvent.objects.all()}
        assert KAY not in {name for pair in names for name in pair}
        assert any(pseudonym_of(KAY) in pair for pair in names)
        assert ledger.walk(ledger.events_of(None)).broken == ledger.walk(ledger.events_of(acorn.pk)).broken == ""


def test_another_name_than_the_pseudonym_is_refused(kay: Browser, agency: Agency) -> None:
    with scope.agency_scope(agency.pk):
        for change in ({"actor": "somebody@else.example"}, {"actor": pseudonym_of(KAY), "verb": "x"}):
            with pytest.raises(DatabaseError), transaction.atomic():
                AuditEvent.objects.filter(subject=KAY).update(**change)


def test_a_wrong_address_removes_nobody(kay: Browser) -> None:
    response = kay.post(REMOVE, {"email": "owner@north.example"})

    assert response.status_code == 422 and "not the address" in response.text
    assert kay.get(reverse("people")).status_code == 200


def test_the_last_owner_stays(kay: Browser, agency: Agency) -> None:
    response = kay.post(REMOVE, {"email": KAY})

    assert response.status_code == 422 and "last owner stays" in response.text
    with scope.agency_scope(agency.pk):
        assert Membership.objects.get().user.email == KAY and ApiKey.objects.get().revoked_at is None


def test_removal_asks_who_was_not_asked_lately(owner: Browser) -> None:
    assert owner.get(REMOVE)["Location"].startswith(reverse("account_reauthenticate"))


def test_a_reader_of_one_client_goes_too(acorn: Client, agency: Agency) -> None:
    factories.make_member(agency, Role.READER, acorn, "rae@acorn.example")
    browser = signed_in("rae@acorn.example")

    browser.post(REMOVE, {"email": "rae@acorn.example"})

    assert not User.objects.filter(email="rae@acorn.example").exists()


def test_a_changed_password_and_ended_sessions_are_noted(kay: Browser, agency: Agency) -> None:
    there = Browser()
    there.post(reverse("login"), {"login": KAY, "password": factories.PASSWORD})
    new = {"password1": "another long enough one", "password2": "another long enough one"}

    kay.post(reverse("usersessions_list"))
    kay.post(reverse("account_change_password"), {"oldpassword": factories.PASSWORD} | new)

    noted = [(event.verb, event.actor) for event in acts(agency) if event.verb.startswith("account.")]
    assert ("account.sessions-end", KAY) in noted and ("account.password", KAY) in noted


def test_an_app_that_is_added_and_removed_is_noted(
    kay: Browser, agency: Agency, django_capture_on_commit_callbacks: Any
) -> None:
    from tests.web.test_accounts import app_code

    page = kay.get(reverse("mfa_activate_totp"))
    with django_capture_on_commit_callbacks(execute=True):
        kay.post(reverse("mfa_activate_totp"), {"code": app_code(page.context["form"].secret)})
    kay.post(reverse("mfa_deactivate_totp"))

    noted = [(event.verb, event.detail.get("kind")) for event in acts(agency)]
    assert ("account.factor-add", "totp") in noted and ("account.factor-remove", "totp") in noted


@pytest.mark.parametrize(("name", "most"), [("shared-report", 60), ("invitation", 20)])
def test_links_are_not_tried_without_end(db: None, name: str, most: int) -> None:
    browser, codes = Browser(), []
    for attempt in range(most + 1):
        codes.append(browser.get(reverse(name, args=[f"guess-{attempt}"])).status_code)

    assert set(codes[:-1]) == {404} and codes[-1] == 429


def test_codes_by_mail_are_not_asked_for_without_end(kay: Browser) -> None:
    from django.core import mail

    for _attempt in range(12):
        Browser().post(reverse("account_request_login_code"), {"email": KAY})

    assert len(mail.outbox) < 12
