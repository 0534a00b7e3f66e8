"""What an agency asks of signing in: a second factor of its staff, sessions that end sooner."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from django.core import mail
from django.test import Client as Browser
from django.urls import reverse
from django.utils import timezone

from agency.accounts import demands
from tenants import scope
from tenants.models import Agency, AuditEvent, Client, Role, User
from tenants.people.sign_in import Rules, set_rules
from tests import factories
from tests.web.test_account_removal import signed_in
from tests.web.test_accounts import app_code

RULES = reverse("sign-in-rules")
ACCOUNT = reverse("mfa_index")
PEOPLE = reverse("people")
ASKED = {"factor": "yes", "hours": "", "minutes": "", "reason": "a client's contract"}
KAY = "kay@north.example"


def ask(agency: Agency, **rules: Any) -> None:
    with scope.agency_scope(agency.pk):
        set_rules(agency, Rules(**rules), "tests", factories.NOW, "a client's contract")


def with_app(email: str) -> User:
    user = User.objects.get(email=email)
    TOTP.activate(user, generate_totp_secret())
    return user


@pytest.fixture
def kay(agency: Agency) -> Browser:
    factories.make_member(agency, Role.OWNER, email=KAY)
    return signed_in(KAY)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Moves the time that sessions are judged by."""
    moved = {"by": timedelta()}
    plain = timezone.now

    def advance(**by: float) -> None:
        moved["by"] += timedelta(**by)

    monkeypatch.setattr(demands.timezone, "now", lambda: plain() + moved["by"])
    return advance


# ---- a second factor


def test_nobody_is_asked_by_default(kay: Browser) -> None:
    assert kay.get(PEOPLE).status_code == 200


def test_an_owner_asks_for_it_once_he_has_one_himself(kay: Browser, agency: Agency) -> None:
    refused = kay.post(RULES, ASKED)
    assert refused.status_code == 422 and "Set up your own first" in refused.text

    with_app(KAY)
    assert kay.post(RULES, ASKED).status_code == 303

    assert Agency.objects.get(pk=agency.pk).needs_factor
    assert kay.get(PEOPLE).status_code == 200
    with scope.agency_scope(agency.pk):
        [event] = AuditEvent.objects.filter(verb="agency.sign-in")
    assert event.actor == KAY
    assert event.detail == {"changed": {"needs_factor": [False, True]}, "reason": "a client's contract"}


def test_saving_what_is_so_already_writes_nothing(kay: Browser, agency: Agency) -> None:
    assert kay.post(RULES, ASKED | {"factor": ""}).status_code == 303

    with scope.agency_scope(agency.pk):
        assert not AuditEvent.objects.filter(verb="agency.sign-in").exists()


def test_staff_without_one_sees_nothing_but_the_own_account(kay: Browser, agency: Agency, acorn: Client) -> None:
    ask(agency, needs_factor=True)

    for url in (PEOPLE, "/", reverse("client", args=[acorn.slug]), reverse("agency-audit"), RULES):
        assert kay.get(url)["Location"] == ACCOUNT, url
    assert kay.post(PEOPLE, {"email": "new@north.example", "role": "viewer"})["Location"] == ACCOUNT
    part = kay.get(PEOPLE, headers={"hx-request": "true"})
    assert part.content == b"" and part["HX-Redirect"] == ACCOUNT
    page = kay.get(ACCOUNT)
    assert page.status_code == 200 and "Your agency asks for a second factor." in page.text


def test_setting_one_up_opens_the_rest(kay: Browser, agency: Agency) -> None:
    ask(agency, needs_factor=True)
    secret = kay.get(reverse("mfa_activate_totp")).context["form"].secret

    kay.post(reverse("mfa_activate_totp"), {"code": app_code(secret)})

    assert kay.get(PEOPLE).status_code == 200
    assert "Your agency asks" not in kay.get(ACCOUNT).text


def test_the_last_owner_who_removes_it_is_led_to_set_one_up_and_not_shut_out(kay: Browser, agency: Agency) -> None:
    with_app(KAY)
    ask(agency, needs_factor=True)
    kay.post(reverse("mfa_deactivate_totp"))
    assert kay.get(PEOPLE)["Location"] == ACCOUNT

    again = signed_in(KAY)
    secret = again.get(reverse("mfa_activate_totp")).context["form"].secret
    again.post(reverse("mfa_activate_totp"), {"code": app_code(secret)})

    assert again.get(RULES).status_code == 200
    assert again.post(RULES, ASKED | {"factor": ""}).status_code == 303
    assert not Agency.objects.get(pk=agency.pk).needs_factor


def test_recovery_codes_alone_are_no_second_factor(kay: Browser, agency: Agency) -> None:
    RecoveryCodes.activate(User.objects.get(email=KAY))
    ask(agency, needs_factor=True)

    assert kay.get(PEOPLE)["Location"] == ACCOUNT


def test_a_passkey_is_one(kay: Browser, agency: Agency) -> None:
    Authenticator.objects.create(user=User.objects.get(email=KAY), type=Authenticator.Type.WEBAUTHN, data={})
    ask(agency, needs_factor=True)

    assert kay.get(PEOPLE).status_code == 200


def test_a_clients_reader_is_not_asked(reader: Browser, agency: Agency) -> None:
    ask(agency, needs_factor=True)

    assert reader.get("/", follow=True).status_code == 200
    assert reader.get("/").headers.get("Location") != ACCOUNT


def test_staff_of_one_client_is_asked_and_another_agency_is_not(
    agency: Agency, acorn: Client, stranger: Browser
) -> None:
    factories.make_member(agency, Role.ENGINEER, acorn, "ed@north.example")
    ask(agency, needs_factor=True)

    assert signed_in("ed@north.example").get(reverse("client", args=[acorn.slug]))["Location"] == ACCOUNT
    assert stranger.get(PEOPLE).status_code == 200


def test_keys_and_signing_out_and_public_pages_are_not_touched(kay: Browser, agency: Agency, acorn: Client) -> None:
    key = factories.make_key(acorn)
    ask(agency, needs_factor=True)

    answer = Browser().get("/rest/v1/pipelines", headers={"authorization": f"Bearer {key}"})
    assert answer.status_code == 200
    assert kay.get(reverse("healthz")).status_code == 200
    assert kay.post(reverse("logout"))["Location"] == reverse("login")


def test_looking_as_a_reader_is_no_way_round(kay: Browser, agency: Agency, acorn: Client) -> None:
    kay.post(reverse("view-client", args=[acorn.slug]))
    ask(agency, needs_factor=True)

    assert kay.get("/")["Location"] == ACCOUNT


def test_who_is_invited_is_told(agency: Agency) -> None:
    factories.make_member(agency, Role.OWNER, email=KAY)
    with_app(KAY)
    ask(agency, needs_factor=True)
    browser = Browser()
    browser.force_login(User.objects.get(email=KAY))

    browser.post(PEOPLE, {"email": "new@north.example", "role": "viewer", "client": ""})

    [message] = mail.outbox
    assert "A second factor is asked for" in message.body and "A second factor" in str(message.alternatives[0][0])
    address = next(line for line in message.body.split() if "/invitation" in line or "/invite" in line)
    assert "A second factor is asked for" in Browser().get(address.partition("testserver")[2]).text


def test_the_page_names_who_has_none(kay: Browser, agency: Agency) -> None:
    factories.make_member(agency, Role.VIEWER, email="vi@north.example")
    with_app(KAY)

    page = kay.get(RULES)

    assert page.context["without"] == ["vi@north.example"]


# ---- sessions


def test_a_session_lasts_two_weeks_by_default(kay: Browser, clock: Any) -> None:
    clock(days=13)

    assert kay.get(PEOPLE).status_code == 200


def test_after_its_hours_a_session_is_over_and_leads_back(kay: Browser, agency: Agency, clock: Any) -> None:
    ask(agency, session_hours=12)
    clock(hours=11, minutes=59)
    assert kay.get(PEOPLE).status_code == 200

    clock(minutes=2)

    assert kay.get(PEOPLE)["Location"] == f"{reverse('login')}?next=%2Fpeople%2F"
    page = kay.get(reverse("login"))
    assert "Your session is over" in page.text
    assert kay.get(PEOPLE).status_code == 302  # By now nobody is signed in.


def test_signing_in_again_begins_anew(kay: Browser, agency: Agency, clock: Any) -> None:
    ask(agency, session_hours=12)
    clock(hours=13)
    assert kay.get(PEOPLE).status_code == 303

    kay.post(reverse("login"), {"login": KAY, "password": factories.PASSWORD})
    clock(hours=11)

    assert kay.get(PEOPLE).status_code == 200


def test_rest_ends_a_session_and_pages_keep_it(kay: Browser, agency: Agency, clock: Any) -> None:
    ask(agency, idle_minutes=30)
    for _page in range(4):
        clock(minutes=20)
        assert kay.get(PEOPLE).status_code == 200

    clock(minutes=31)

    assert kay.get(PEOPLE).status_code == 303


def test_a_page_that_refreshes_itself_is_rest(kay: Browser, agency: Agency, clock: Any) -> None:
    ask(agency, idle_minutes=30)
    for _part in range(3):
        clock(minutes=9)
        assert kay.get(PEOPLE, headers={"hx-request": "true"}).status_code == 200

    clock(minutes=9)
    part = kay.get(PEOPLE, headers={"hx-request": "true"})

    assert part["HX-Redirect"] == reverse("login")


def test_a_session_from_before_the_rule_counts_from_its_sign_in(agency: Agency, clock: Any) -> None:
    user = factories.make_member(agency, Role.OWNER, email=KAY)
    browser = Browser()
    browser.force_login(user)
    session = browser.session
    del session[demands.BEGUN], session[demands.SEEN]
    session.save()
    ask(agency, session_hours=12)
    assert browser.get(PEOPLE).status_code == 200

    clock(hours=13)

    assert browser.get(PEOPLE).status_code == 303


def test_the_strictest_of_several_agencies_counts(kay: Browser, agency: Agency, clock: Any) -> None:
    other = factories.make_agency("other")
    factories.make_member(other, Role.VIEWER, email=KAY)
    ask(agency, session_hours=24, idle_minutes=60)
    ask(other, session_hours=168, idle_minutes=30)
    kay = signed_in(KAY)

    clock(minutes=31)

    assert kay.get("/")["Location"].startswith(reverse("login"))


def test_a_reader_keeps_to_the_times_too(agency: Agency, reader: Browser, clock: Any) -> None:
    ask(agency, session_hours=12)
    clock(hours=13)

    assert reader.get("/")["Location"].startswith(reverse("login"))


@pytest.mark.parametrize(("field", "value"), [("hours", "13"), ("minutes", "-1"), ("reason", ""), ("factor", "maybe")])
def test_what_cannot_be_chosen_is_refused(kay: Browser, agency: Agency, field: str, value: str) -> None:
    given = {"factor": "", "hours": "12", "minutes": "30", "reason": "why"}

    assert kay.post(RULES, given | {field: value}).status_code == 422

    assert Rules.of(Agency.objects.get(pk=agency.pk)) == Rules()


def test_hours_and_minutes_are_kept(kay: Browser, agency: Agency) -> None:
    kay.post(RULES, {"factor": "", "hours": "12", "minutes": "30", "reason": "why"})

    assert Rules.of(Agency.objects.get(pk=agency.pk)) == Rules(False, 12, 30)
    assert 'value="12" selected' in kay.get(RULES).text


# ---- what a browser keeps


def test_nothing_that_somebody_signed_in_sees_is_kept(kay: Browser, acorn: Client) -> None:
    for url in ("/", PEOPLE, reverse("client", args=[acorn.slug]), ACCOUNT):
        assert "no-store" in kay.get(url)["Cache-Control"], url
    part = kay.get("/", headers={"hx-request": "true"})
    assert "no-store" in part["Cache-Control"]


def test_after_signing_out_the_page_is_asked_for_anew(kay: Browser) -> None:
    assert "no-store" in kay.get(PEOPLE)["Cache-Control"]

    kay.post(reverse("logout"))

    assert kay.get(PEOPLE)["Location"].startswith(reverse("login"))
