"""Signing in, forms that keep what was typed, a schedule echoed, a theme remembered."""

from __future__ import annotations

import re

from django.test import Client as Visitor
from playwright.sync_api import expect

from tenants.models import Agency, Client, Role, SettingsRevision
from tests import factories
from tests.browser.conftest import Opener

SETTINGS = "/c/acorn/support/settings/"


def test_a_person_signs_in_and_out(transactional_db: None, agency: Agency, open_page: Opener) -> None:
    factories.make_member(agency, Role.OWNER, email="owner@north.example")
    page = open_page(None, "/gates/")

    page.get_by_label("Email").fill("owner@north.example")
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.get_by_label("Email")).to_have_value("owner@north.example")

    page.get_by_label("Password").fill(factories.PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Gate log")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_a_form_with_errors_keeps_every_input(
    transactional_db: None, acorn: Client, engineer: Visitor, open_page: Opener
) -> None:
    factories.make_pipeline(acorn)
    page = open_page(engineer, SETTINGS)
    page.get_by_label("Epochs").fill("7")
    page.get_by_label("LoRA rank").fill("0")
    page.get_by_label("Cooldown").fill("soon")
    page.get_by_label("f1_macro").check()

    page.get_by_role("button", name="Review the changes").click()

    expect(page.locator(".form-error")).to_have_count(1)  # What cannot be read comes first, what cannot work after it.
    expect(page.get_by_label("Epochs")).to_have_value("7")
    expect(page.get_by_label("LoRA rank")).to_have_value("0")
    expect(page.get_by_label("Cooldown")).to_have_value("soon")
    expect(page.get_by_label("f1_macro")).to_be_checked()


def test_a_change_is_reviewed_then_saved(
    transactional_db: None, acorn: Client, engineer: Visitor, open_page: Opener
) -> None:
    pipeline = factories.make_pipeline(acorn)
    page = open_page(engineer, SETTINGS)

    page.get_by_label("Epochs").fill("7")
    page.get_by_role("button", name="Review the changes").click()
    expect(page.locator("#review tbody tr")).to_have_text("recipe.epochs 3 7", use_inner_text=True)
    page.locator("#review").get_by_label("Why").fill("underfitted")
    page.get_by_role("button", name="Save as a new revision").click()

    expect(page.locator("#flash")).to_contain_text("Saved as revision 2")
    with factories.inside(pipeline):
        assert SettingsRevision.objects.get(number=2).settings.recipe.epochs == 7


def test_a_rule_is_echoed_while_it_is_typed(
    transactional_db: None, acorn: Client, engineer: Visitor, open_page: Opener
) -> None:
    factories.make_pipeline(acorn)
    page = open_page(engineer, SETTINGS)

    page.get_by_label("Rule", exact=True).fill("FREQ=WEEKLY;BYDAY=SA")
    expect(page.locator("#schedule-echo")).to_contain_text("Saturday each week, 04:00, UTC")
    expect(page.locator("#schedule-echo li")).to_have_count(5)
    page.get_by_label("Rule", exact=True).fill("now and then")
    expect(page.locator("#schedule-echo")).to_contain_text("cannot be read")


def test_the_search_narrows_the_list_and_the_address(
    transactional_db: None, acorn: Client, birch: Client, viewer: Visitor, open_page: Opener
) -> None:
    for client in (acorn, birch):
        factories.make_pipeline(client)
    page = open_page(viewer, "/")

    page.get_by_label("Search").press_sequentially("birch")

    expect(page.locator("#clients tbody tr")).to_have_count(1)
    expect(page).to_have_url(f"{page.url.split('?')[0]}?q=birch&sort=needs&show=all")
    expect(page.get_by_label("Search")).to_be_focused()


def test_back_leads_to_the_list_as_it_was_and_after_signing_out_to_nothing(
    transactional_db: None, acorn: Client, birch: Client, owner: Visitor, open_page: Opener
) -> None:
    """No page is kept, so Back asks for it again, by the address that holds the list's state."""
    page = open_page(owner, "/")
    page.get_by_role("searchbox").first.fill("acorn")
    expect(page).to_have_url(re.compile("acorn"))
    expect(page.get_by_text("Birch")).to_have_count(0)
    page.get_by_role("link", name="Acorn").first.click()
    expect(page.get_by_role("heading", name="Acorn")).to_be_visible()

    page.go_back()
    expect(page.get_by_role("searchbox").first).to_have_value("acorn")
    expect(page.get_by_text("Birch")).to_have_count(0)
    page.go_back()
    expect(page.get_by_text("Birch").first).to_be_visible()

    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    expect(page.get_by_text("Birch")).to_have_count(0)


def test_the_theme_is_remembered(transactional_db: None, viewer: Visitor, open_page: Opener) -> None:
    page = open_page(viewer, "/", "dark")
    expect(page.locator("html")).to_have_attribute("data-bs-theme", "dark")

    page.get_by_role("button", name="Light or dark").click()
    page.reload()

    expect(page.locator("html")).to_have_attribute("data-bs-theme", "light")


def test_ctrl_k_goes_anywhere_by_keys_alone(
    transactional_db: None, acorn: Client, viewer: Visitor, open_page: Opener
) -> None:
    factories.make_pipeline(acorn)
    page = open_page(viewer, "/")

    page.keyboard.press("Control+k")
    page.get_by_label("Go to").fill("acorn sets")
    expect(page.locator("#places a")).to_have_count(1)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")

    expect(page).to_have_url(re.compile(r"/c/acorn/support/sets/$"))
