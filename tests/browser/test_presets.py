"""A preset changed over those who follow, in a browser; one setting over many clients by keys alone."""

from __future__ import annotations

import pytest
from django.test import Client as Visitor
from playwright.sync_api import expect

from agency.as_code.possible import saver
from tenants import scope
from tenants.following import presets as following
from tenants.models import Client, Pipeline
from tests import factories
from tests.browser.conftest import Opener


@pytest.fixture
def followers(transactional_db: None, acorn: Client, birch: Client) -> list[Pipeline]:
    rows = [factories.make_pipeline(client) for client in (acorn, birch)]
    with scope.agency_scope(acorn.agency_id):
        preset = following.create_preset(
            acorn.agency, "Careful", "careful", factories.settings_body(), "ann", factories.NOW
        )
        for row in rows:
            following.follow(row, preset, saver("ann", factories.NOW), takes_all=True, base=1)
    return rows


def test_a_change_of_a_preset_is_seen_in_every_follower_then_saved(
    followers: list[Pipeline], engineer: Visitor, open_page: Opener
) -> None:
    page = open_page(engineer, "/presets/careful/")

    page.get_by_label("LoRA rank").fill("0")
    page.get_by_role("button", name="Review the changes").click()
    expect(page.locator(".form-error")).to_have_count(1)
    expect(page.get_by_label("LoRA rank")).to_have_value("0")
    page.get_by_label("LoRA rank").fill("16")
    page.get_by_label("Epochs").fill("7")
    page.get_by_role("button", name="Review the changes").click()
    expect(page.locator("#review")).to_contain_text("Acorn · Support")
    expect(page.locator("#review")).to_contain_text("Birch · Support")
    page.locator("#review").get_by_label("Why").fill("underfitted")
    page.get_by_role("button", name="Save in all of them").click()

    expect(page.locator("#flash")).to_contain_text("a new revision in 2 pipelines")


def test_one_setting_over_many_clients_by_keys_alone(
    followers: list[Pipeline], engineer: Visitor, open_page: Opener
) -> None:
    page = open_page(engineer, "/many/?field=triggers.cooldown_s")

    page.locator("[name=value]").focus()
    page.keyboard.type("7 d")
    page.locator("[data-all]").focus()
    page.keyboard.press("Space")
    page.locator("[name=value]").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#review ins")).to_have_count(2)
    page.get_by_role("button", name="Save in all of them").focus()
    page.keyboard.press("Enter")

    expect(page.locator("#flash")).to_contain_text("a new revision in 2 pipelines")
