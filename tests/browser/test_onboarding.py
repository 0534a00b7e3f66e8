"""The wizard in a browser: from nothing to the first run, a wrong input on the way, by keys alone; the demo client."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.test import Client as Visitor
from playwright.sync_api import Page, expect

from tenants.models import Agency, Client
from tests import factories
from tests.browser.conftest import Opener


def rows_file(folder: Path) -> Path:
    path = folder / "rows.jsonl"
    path.write_text(
        "\n".join(f'{{"input": "Where is parcel {n}?", "output": "{factories.LABELS[n % 3]}"}}' for n in range(150))
    )
    return path


def test_from_nothing_to_the_first_run(
    transactional_db: None,
    agency: Agency,
    owner: Visitor,
    open_page: Opener,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pipelines.engine.dispatch.wake_run", lambda *_: None)  # The walk is a worker's.
    page = open_page(owner, "/")
    page.get_by_role("link", name="Set up the first client").click()

    page.get_by_label("Name", exact=True).fill("Acorn Shops")
    page.get_by_label("Short name").fill("Acorn Shops")
    page.get_by_role("button", name="Save and go on").click()
    expect(page.locator(".form-error")).to_have_count(1)
    expect(page.get_by_label("Name", exact=True)).to_have_value("Acorn Shops")
    page.get_by_label("Short name").fill("acorn")
    page.get_by_role("button", name="Save and go on").click()

    page.get_by_label("Name", exact=True).fill("shop")
    page.get_by_label("Address").fill("http://127.0.0.1:9")
    page.get_by_role("button", name="Does it answer?").click()
    expect(page.locator("#test-result")).to_contain_text("It does not answer")
    expect(page.get_by_label("Address")).to_have_value("http://127.0.0.1:9")
    page.get_by_role("link", name="Skip", exact=True).click()

    page.get_by_label("Name", exact=True).fill("Support")
    page.get_by_label("Short name").fill("support")
    page.get_by_label("Who gets the mails").fill("team@north.example")
    page.get_by_role("button", name="Does a mail arrive?").click()
    expect(page.locator("#test-result")).to_contain_text("No mail server is configured")
    page.get_by_role("button", name="Save and go on").click()
    expect(page.locator(".form-error")).to_contain_text("A label format needs its labels")
    expect(page.get_by_label("Name", exact=True)).to_have_value("Support")
    page.get_by_label("Labels").fill("\n".join(factories.LABELS))
    page.get_by_role("button", name="Save and go on").click()

    page.get_by_label("File").set_input_files(rows_file(tmp_path))
    page.get_by_role("button", name="Does it parse?").click()
    expect(page.get_by_text("Where is parcel 0?")).to_be_visible()
    page.get_by_role("button", name="Import these rows").click()
    page.get_by_role("button", name="Hold out and go on").click()

    expect(page.get_by_text("135 rows are ready")).to_be_visible()
    page.get_by_role("button", name="Start the first run").click()
    expect(page).to_have_url(re.compile(r"/c/acorn/support/runs/1/$"))
    expect(page.locator(".stages")).to_be_visible()


def tabbed_to(page: Page, name: str) -> None:
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent").strip() == name:
            return
    raise AssertionError(f"{name} is not reached by the tab key")


def test_the_demo_client_comes_and_goes_by_keys_alone(
    transactional_db: None, agency: Agency, owner: Visitor, open_page: Opener
) -> None:
    page = open_page(owner, "/")

    tabbed_to(page, "Load the demo client")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Start the first run")).to_be_visible()
    page.get_by_role("link", name="Clients").first.click()
    expect(page.locator("#clients .st", has_text="demo")).to_be_visible()
    page.get_by_role("link", name="Heronbrook Broadband (demo)").click()
    tabbed_to(page, "Remove the demo client")
    page.keyboard.press("Enter")

    expect(page.locator("#flash")).to_contain_text("is gone")
    expect(page.get_by_role("link", name="Set up the first client")).to_be_visible()


def test_without_scripts_each_step_works_too(
    transactional_db: None, acorn: Client, engineer: Visitor, open_page: Opener
) -> None:
    page = open_page(engineer, "/get-started/c/acorn/host/", java_script_enabled=False)

    page.get_by_label("Name", exact=True).fill("shop")
    page.get_by_label("Address").fill("http://127.0.0.1:9")
    page.get_by_role("button", name="Does it answer?").click()

    expect(page.locator("#test-result")).to_contain_text("It does not answer")
    expect(page.get_by_label("Address")).to_have_value("http://127.0.0.1:9")
