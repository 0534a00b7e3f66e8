"""The mails about one's own account: what each change says, to whom, in which language, and with no mail server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from allauth.account.signals import email_changed
from allauth.mfa import signals as mfa
from allauth.mfa.models import Authenticator
from django.core import mail
from django.test import Client as Browser
from django.test import TestCase
from django.urls import reverse

from agency.accounts.noting import VERBS
from agency.accounts.telling import SAID
from tenants import scope, sharing
from tenants.models import Agency, AuditEvent, Client, Role, User
from tests import factories
from tests.web.test_account_removal import signed_in
from tests.web.test_accounts import app_code

KAY = "kay@north.example"
NEW = {"password1": "another long enough one", "password2": "another long enough one"}
pytestmark = pytest.mark.usefixtures("commits")


@pytest.fixture
def commits(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test's own transaction holds back happens when a request is over, as it does in the product."""
    plain = Browser.post

    def post(self: Browser, *given: Any, **named: Any) -> Any:
        with TestCase.captureOnCommitCallbacks(execute=True):
            return plain(self, *given, **named)

    monkeypatch.setattr(Browser, "post", post)


@pytest.fixture
def kay(agency: Agency) -> Browser:
    factories.make_member(agency, Role.OWNER, email=KAY)
    return signed_in(KAY)


def change_password(browser: Browser, **headers: str) -> int:
    given = {"oldpassword": factories.PASSWORD} | NEW
    return browser.post(reverse("account_change_password"), given, headers=headers).status_code


def add_app(browser: Browser) -> None:
    secret = browser.get(reverse("mfa_activate_totp")).context["form"].secret
    browser.post(reverse("mfa_activate_totp"), {"code": app_code(secret)})


def remove_app(browser: Browser) -> None:
    add_app(browser)
    mail.outbox.clear()
    browser.post(reverse("mfa_deactivate_totp"))


def new_codes(browser: Browser) -> None:
    add_app(browser)
    mail.outbox.clear()
    browser.post(reverse("mfa_generate_recovery_codes"))


def end_sessions(browser: Browser) -> None:
    signed_in(KAY)
    browser.post(reverse("usersessions_list"))


def key_signal(name: str) -> Callable[[Browser], None]:
    """As allauth sends it once a device has answered; tests/browser/test_passkeys.py does it with a real one."""

    def send(_browser: Browser) -> None:
        key = Authenticator(type=Authenticator.Type.WEBAUTHN)
        kay = User.objects.get(email=KAY)
        with TestCase.captureOnCommitCallbacks(execute=True):
            getattr(mfa, name).send(sender=Authenticator, request=None, user=kay, authenticator=key)

    return send


# {what is said: how it comes about}; the change of an address has its own test.
CASES: dict[str, Callable[[Browser], Any]] = {
    "account.password": change_password,
    "account.factor-add totp": add_app,
    "account.factor-add webauthn": key_signal("authenticator_added"),
    "account.factor-remove totp": remove_app,
    "account.factor-remove webauthn": key_signal("authenticator_removed"),
    "account.factor-renew recovery_codes": new_codes,
    "account.sessions-end": end_sessions,
}


def test_every_change_that_is_noted_is_told() -> None:
    assert CASES.keys() | {"account.email"} == SAID.keys()
    assert {verb.partition(" ")[0] for verb in SAID} == set(VERBS.values()) | {"account.sessions-end"}


@pytest.mark.parametrize("what", CASES)
def test_one_mail_says_what_was_changed_and_what_to_do(kay: Browser, what: str) -> None:
    CASES[what](kay)

    [message] = mail.outbox
    assert message.subject == str(SAID[what]) and message.to == [KAY]
    [(html, _kind)] = message.alternatives
    for part in (message.body, str(html)):
        assert "change the password" in part and "UTC" in part
    assert message.extra_headers["Auto-Submitted"] == "auto-generated"


def test_a_changed_address_is_told_to_both(kay: Browser) -> None:
    class Former:
        email = "kay@old.example"

    with TestCase.captureOnCommitCallbacks(execute=True):
        email_changed.send(sender=User, request=None, user=User.objects.get(email=KAY), from_email_address=Former())

    assert [message.to for message in mail.outbox] == [[KAY], ["kay@old.example"]]


def test_a_reader_reads_it_in_the_browsers_language_under_the_agencys_brand(agency: Agency, acorn: Client) -> None:
    factories.make_member(agency, Role.READER, acorn, "rae@acorn.example")
    with scope.agency_scope(agency.pk):
        sharing.change_brand(agency, {"name": "North & Co"}, 0, "tests", factories.NOW)

    change_password(signed_in("rae@acorn.example"), **{"accept-language": "es"})

    [message] = mail.outbox
    assert message.subject == "Se cambió su contraseña"
    assert "North &amp; Co" in str(message.alternatives[0][0])


def test_without_a_mail_server_the_change_is_made_all_the_same(
    kay: Browser, settings: Any, caplog: pytest.LogCaptureFixture, agency: Agency
) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 9

    assert change_password(kay) == 302

    assert User.objects.get(email=KAY).check_password(NEW["password1"])
    with scope.agency_scope(agency.pk):
        assert AuditEvent.objects.filter(verb="account.password").exists()
    assert "could not be mailed" in caplog.text
