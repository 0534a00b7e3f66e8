"""A passkey is added and signs in, with the browser's own authenticator."""

from __future__ import annotations

from django.conf import settings
from playwright.sync_api import Page, expect

from tenants.models import Agency, Role
from tests import factories
from tests.browser.conftest import Opener


def with_authenticator(page: Page) -> None:
    session = page.context.new_cdp_session(page)
    session.send("WebAuthn.enable")
    kind = {"protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True}
    options = kind | {"isUserVerified": True, "automaticPresenceSimulation": True}
    session.send("WebAuthn.addVirtualAuthenticator", {"options": options})


def test_a_passkey_signs_in_without_a_password(transactional_db: None, agency: Agency, open_page: Opener) -> None:
    factories.make_member(agency, Role.OWNER, email="kay@north.example")
    page = open_page(None, "/login/")
    with_authenticator(page)
    page.get_by_label("Email").fill("kay@north.example")
    page.get_by_label("Password").fill(factories.PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()

    page.goto("/account/keys/add/")
    page.get_by_label("Password").fill(factories.PASSWORD)
    page.get_by_role("button", name="Confirm").click()
    page.get_by_label("Passwordless").check()
    page.get_by_role("button", name="Add a passkey").click()
    expect(page.get_by_role("heading", name="recovery codes")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    page.goto("/login/")
    page.get_by_role("button", name="Use a passkey").click()

    expect(page.get_by_role("button", name="Sign out")).to_be_visible()
    assert settings.MFA_PASSKEY_LOGIN_ENABLED
