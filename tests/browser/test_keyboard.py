"""The main journeys by keyboard alone: Tab, Enter and typing, with the focus where a person would look for it."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from pipelines.artifacts import store_of
from pipelines.models import ModelVersion, Rollback
from tenants.models import AuditEvent, Client, Role
from tests import factories
from tests.browser.conftest import Opener

STOPS = 90


def reach(page: Page, wanted: Locator) -> None:
    """Tab until it has the focus."""
    for _ in range(STOPS):
        if wanted.count() and wanted.first.evaluate("node => node === document.activeElement"):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"{wanted} is not reached with Tab")


def press(page: Page, role: str, name: str) -> None:
    reach(page, page.get_by_role(role, name=name, exact=False))  # type: ignore[arg-type]
    page.keyboard.press("Enter")


def sign_in(page: Page, email: str) -> None:
    reach(page, page.locator("input[type=email], input[name=login], input[name=username]"))
    page.keyboard.type(email)
    reach(page, page.locator("input[type=password]"))
    page.keyboard.type(factories.PASSWORD)
    page.keyboard.press("Enter")


@pytest.mark.usefixtures("transactional_db")
def test_from_signing_in_to_an_approved_run(acorn: Client, open_page: Opener) -> None:
    factories.make_member(acorn.agency, Role.ENGINEER, email="eve@north.example")
    run = factories.make_run(factories.make_pipeline(acorn), at="compare", status="held")
    page = open_page(None, "/")

    sign_in(page, "eve@north.example")
    press(page, "link", "Acorn · Support")
    expect(page).to_have_url(re.compile(r"/c/acorn/support/runs/1/$"))
    press(page, "link", "Approve")
    expect(page.locator("dialog")).to_be_visible()
    reach(page, page.get_by_label("Reason"))
    page.keyboard.type("looked at thirty answers")
    page.keyboard.press("Enter")

    expect(page.locator("#flash")).to_contain_text("Approved")
    with factories.inside(run):
        event = AuditEvent.objects.get(verb="run.approve")
    assert (event.actor, event.detail["reason"]) == ("eve@north.example", "looked at thirty answers")


@pytest.mark.usefixtures("transactional_db")
def test_from_the_palette_to_a_rollback(acorn: Client, open_page: Opener) -> None:
    factories.make_member(acorn.agency, Role.ENGINEER, email="eve@north.example")
    pipeline = factories.make_pipeline(acorn)
    factories.make_production(pipeline)
    factories.make_production(pipeline)
    with factories.inside(pipeline):
        digest = store_of(pipeline.client_id).put_bytes(b"version 1")
        ModelVersion.objects.filter(number=1).update(status="archived", gguf_digest=digest)
    page = open_page(None, "/")

    sign_in(page, "eve@north.example")
    expect(page.get_by_role("heading", name="Clients")).to_be_visible()
    page.keyboard.press("Control+k")
    expect(page.locator("#jump-to")).to_be_focused()
    page.keyboard.type("support versions")
    expect(page.locator("#places a").first).to_contain_text("Versions")
    page.keyboard.press("Enter")
    press(page, "link", "Roll back")
    expect(page.locator("dialog")).to_contain_text("Answers everything")
    reach(page, page.get_by_label("Reason"))
    page.keyboard.type("it invents opening hours")
    page.keyboard.press("Enter")

    expect(page.locator("#flash")).to_contain_text("v1")
    with factories.inside(pipeline):
        assert Rollback.objects.get().to_version.number == 1


@pytest.mark.usefixtures("transactional_db")
def test_a_client_reads_its_report(acorn: Client, open_page: Opener) -> None:
    factories.make_member(acorn.agency, Role.READER, acorn, email="ana@acorn.example")
    for slug in ("support", "triage"):
        factories.make_production(factories.make_pipeline(acorn, slug))
    page = open_page(None, "/")

    sign_in(page, "ana@acorn.example")

    expect(page.get_by_text("All your models are in service.")).to_be_visible()
    press(page, "link", "Support")
    expect(page).to_have_url(re.compile(r"/report/acorn/support/"))
