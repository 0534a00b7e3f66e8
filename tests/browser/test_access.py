"""No serious fault of accessibility on the main pages, in both themes.

No page breaks the content policy or its width.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.test import Client as Visitor
from playwright.sync_api import Page

from tenants import scope
from tenants.following.presets import create_preset
from tenants.models import Client
from tests import factories
from tests.browser.conftest import Opener

AXE = Path(__file__).parent / "vendor" / "axe-core-4.14.1" / "axe.min.js"
PAGES = (
    "/",
    "/gates/",
    "/rollbacks/",
    "/audit/",
    "/people/",
    "/new-client/",
    "/get-started/",
    "/get-started/c/acorn/host/",
    "/get-started/c/acorn/pipeline/",
    "/get-started/c/acorn/support/examples/",
    "/get-started/c/acorn/support/run/",
    "/c/acorn/",
    "/c/acorn/audit/",
    "/c/acorn/new-pipeline/",
    "/c/acorn/support/",
    "/c/acorn/support/runs/",
    "/c/acorn/support/runs/1/",
    "/c/acorn/support/runs/2/",
    "/c/acorn/support/runs/2/approve/",
    "/c/acorn/support/versions/",
    "/c/acorn/support/versions/1/",
    "/c/acorn/support/versions/1/roll-back/",
    "/presets/",
    "/presets/careful/",
    "/many/",
    "/c/acorn/support/settings/",
    "/c/acorn/support/settings/preset/",
    "/c/acorn/support/settings/copy/",
    "/c/acorn/support/settings/history/",
    "/c/acorn/support/quarantine/",
    "/report/acorn/",
    "/nowhere/",
)
WIDTHS = (1280, 390)


@pytest.fixture
def world(transactional_db: None, acorn: Client) -> None:
    """A version in production and a held run after it."""
    pipeline = factories.make_pipeline(acorn)
    factories.make_production(pipeline)
    factories.make_run(pipeline, at="deploy", status="held")
    factories.make_key(acorn)
    with scope.agency_scope(acorn.agency_id):
        create_preset(acorn.agency, "Careful", "careful", {}, "tests", factories.NOW)


def serious(page: Page) -> list[str]:
    """What axe-core calls serious or critical, with the elements."""
    page.evaluate(AXE.read_text())
    found: list[dict[str, Any]] = page.evaluate("axe.run().then((result) => result.violations)")
    bad = [one for one in found if one["impact"] in ("serious", "critical")]
    return [f"{one['id']}: {[node['html'][:160] for node in one['nodes']][:4]}" for one in bad]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_page_has_a_serious_fault(world: None, owner: Visitor, open_page: Opener, theme: str) -> None:
    page = open_page(owner, "/", theme)
    faults = {}
    for path in PAGES:
        page.goto(path)
        faults[path] = serious(page)

    assert {path: bad for path, bad in faults.items() if bad} == {}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_sign_in_has_no_serious_fault(world: None, open_page: Opener, theme: str) -> None:
    assert serious(open_page(None, "/login/", theme)) == []


@pytest.mark.parametrize("width", WIDTHS)
def test_no_page_is_wider_than_the_window_or_breaks_the_policy(
    world: None, owner: Visitor, open_page: Opener, width: int
) -> None:
    page = open_page(owner, "/", viewport={"width": width, "height": 800})
    said: list[str] = []
    page.on("console", lambda line: said.append(line.text) if line.type == "error" else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    wide = []
    for path in PAGES[:-1]:
        page.goto(path)
        if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            wide.append(path)

    assert wide == [] and said == []
