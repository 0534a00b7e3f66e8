"""Signing in: password or a code by mail, a second factor, sessions that can be ended, limits on guessing."""

from __future__ import annotations

import re

import pytest
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value, yield_hotp_counters_from_time
from django.core import mail
from django.test import Client as Browser
from django.urls import NoReverseMatch, reverse

from tenants.models import Agency, Client, Role
from tests import factories

LOGIN = reverse("login")
CODE = reverse("account_request_login_code")
ADDRESS = "kay@north.example"


@pytest.fixture
def kay(agency: Agency) -> None:
    factories.make_member(agency, Role.OWNER, email=ADDRESS)


def sign_in(browser: Browser, password: str = factories.PASSWORD) -> str:
    """Where it leads; empty when it was refused."""
    response = browser.post(LOGIN, {"login": ADDRESS, "password": password})
    return str(response.get("Location", ""))


def is_in(browser: Browser) -> bool:
    return browser.get(reverse("people")).status_code == 200


def app_code(secret: str) -> str:
    """Of now: it holds for a step more, so a test that ends in the next one is no failure."""
    _earlier, current, _later = yield_hotp_counters_from_time()
    return format_hotp_value(hotp_value(secret, current))


def test_a_password_signs_in_and_a_wrong_one_does_not(kay: None) -> None:
    browser = Browser()

    assert sign_in(browser, "wrong") == "" and not is_in(browser)
    assert sign_in(browser) == "/" and is_in(browser)


def test_a_code_that_came_by_mail_signs_in_once(kay: None) -> None:
    browser = Browser()
    assert browser.post(CODE, {"email": ADDRESS})["Location"] == reverse("account_confirm_login_code")
    [message] = mail.outbox
    code = re.search(r"^\s*(\S{6,})\s*$", message.body, re.MULTILINE)
    assert code is not None and message.to == [ADDRESS]

    assert browser.post(reverse("account_confirm_login_code"), {"code": "WRONG1"}).status_code == 200
    browser.post(reverse("account_confirm_login_code"), {"code": code[1]})

    assert is_in(browser)


def test_an_unknown_address_is_answered_alike_and_mailed_nothing(kay: None) -> None:
    response = Browser().post(CODE, {"email": "nobody@north.example"})

    assert response["Location"] == reverse("account_confirm_login_code") and mail.outbox == []


def test_an_app_is_asked_for_after_the_password(kay: None) -> None:
    browser = Browser()
    sign_in(browser)
    browser.post(reverse("account_reauthenticate"), {"password": factories.PASSWORD})
    page = browser.get(reverse("mfa_activate_totp"))
    secret = page.context["form"].secret
    browser.post(reverse("mfa_activate_totp"), {"code": app_code(secret)})
    browser.post(reverse("logout"))

    assert sign_in(browser) == reverse("mfa_authenticate") and not is_in(browser)
    assert browser.post(reverse("mfa_authenticate"), {"code": "000000"}).status_code == 200
    assert not is_in(browser)


def test_another_browser_is_signed_out_from_the_list(kay: None) -> None:
    here, there = Browser(), Browser(headers={"user-agent": "Telephone"})
    sign_in(here)
    sign_in(there)

    assert "Telephone" in here.get(reverse("usersessions_list")).text
    here.post(reverse("usersessions_list"))

    assert is_in(here) and not is_in(there)


def test_a_changed_password_ends_the_other_sessions(kay: None) -> None:
    here, there = Browser(), Browser()
    sign_in(here)
    sign_in(there)
    given = {"oldpassword": factories.PASSWORD, "password1": "another long enough one"}

    here.post(reverse("account_change_password"), given | {"password2": given["password1"]})

    assert is_in(here) and not is_in(there)


def test_guessing_a_password_is_stopped(kay: None) -> None:
    for _attempt in range(12):
        Browser().post(LOGIN, {"login": ADDRESS, "password": "guess"})

    assert sign_in(Browser()) == ""


def test_nobody_signs_up() -> None:
    for name in ("account_signup", "mfa_signup_webauthn"):
        with pytest.raises(NoReverseMatch):
            reverse(name)


def test_changing_how_one_signs_in_asks_again(owner: Browser) -> None:
    # This session was not opened by a password a moment ago.
    assert owner.get(reverse("mfa_activate_totp"))["Location"].startswith(reverse("account_reauthenticate"))


def test_a_reader_reads_the_account_in_the_browsers_language(reader: Browser, acorn: Client) -> None:
    text = reader.get(reverse("mfa_index"), headers={"accept-language": "es"}).text

    assert "Su cuenta" in text and "Llaves de acceso" in text


def test_the_sign_in_speaks_the_browsers_language(kay: None) -> None:
    assert "Iniciar sesión" in Browser().get(LOGIN, headers={"accept-language": "es"}).text
