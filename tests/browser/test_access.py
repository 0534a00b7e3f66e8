"""No serious fault of accessibility on any page, in both themes. None breaks the content policy or its width.

The pages are those of the table of doors, which a guard holds against the URL resolver: a new page is looked at too.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import Client as Visitor
from playwright.sync_api import Page

from tenants.models import Client
from tests import factories
from tests.browser.conftest import Opener
from tests.web.doors import address, build
from tests.web.roles import PAGES

AXE = Path(__file__).parent / "vendor" / "axe-core-4.14.1" / "axe.min.js"
# In other states than the world's own, and what is not there.
MORE = (
    "/get-started/c/birch/host/",
    "/c/birch/support/runs/1/",
    "/c/birch/support/runs/1/again/evaluate/",
    "/c/birch/support/runs/2/",
    "/c/birch/support/runs/2/approve/",
    "/c/birch/support/versions/1/roll-back/",
    "/report/birch/",
    "/nowhere/",
)
WIDTHS = (1440, 390)
# A folder that gets a picture of every page, for the eye: RETUNE_PICTURES is removed with the rest of the environment.
PICTURES = os.environ.get("PICTURES", "")


@pytest.fixture
def paths(transactional_db: None, acorn: Client, birch: Client, owner: Visitor) -> list[str]:
    """Of every page that an owner may read."""
    world = build(acorn)
    other = factories.make_pipeline(birch)
    factories.make_production(other)
    factories.make_run(other, at="deploy", status="held")
    doors = [door for door in PAGES if door.method == "GET" and door.statuses["owner"] == 200]
    found = {address(door.name, world) for door in doors}
    return [*sorted(path for path in found if _is_page(owner, path)), *MORE]


def _is_page(visitor: Visitor, path: str) -> bool:
    return visitor.get(path)["Content-Type"].startswith("text/html")


def serious(page: Page) -> list[str]:
    """What axe-core calls serious or critical, with the elements."""
    page.evaluate(AXE.read_text())
    found: list[dict[str, Any]] = page.evaluate("axe.run().then((result) => result.violations)")
    bad = [one for one in found if one["impact"] in ("serious", "critical")]
    return [f"{one['id']}: {[node['html'][:160] for node in one['nodes']][:4]}" for one in bad]


def walk(page: Page, paths: list[str], name: str) -> Iterator[str]:
    """Each page in turn, with a picture of it where a folder for them is named."""
    for path in paths:
        page.goto(path)
        if PICTURES:
            page.screenshot(
                path=f"{PICTURES}/{path.strip('/').replace('/', '_') or 'index'}.{name}.png", full_page=True
            )
        yield path


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_page_has_a_serious_fault(paths: list[str], owner: Visitor, open_page: Opener, theme: str) -> None:
    page = open_page(owner, "/", theme)
    assert len(paths) > 80
    faults = {path: serious(page) for path in walk(page, paths, theme)}

    assert {path: bad for path, bad in faults.items() if bad} == {}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_page_of_somebody_without_an_account_has_one(
    paths: list[str], open_page: Opener, theme: str, client: Visitor
) -> None:
    mine = [path for path in paths if "/shared/" in path or "/invitation/" in path]
    page = open_page(None, "/login/", theme)
    faults = {
        path: serious(page) for path in walk(page, ["/login/", "/accounts/login/code/", *mine], f"anybody-{theme}")
    }

    assert len(faults) >= 5 and {path: bad for path, bad in faults.items() if bad} == {}


@pytest.mark.parametrize("width", WIDTHS)
def test_no_page_is_wider_than_the_window_or_breaks_the_policy(
    paths: list[str], owner: Visitor, open_page: Opener, width: int
) -> None:
    page = open_page(owner, "/", viewport={"width": width, "height": 800})
    said: list[str] = []
    page.on("console", lambda line: said.append(line.text) if line.type == "error" else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    wide = [
        path
        for path in walk(page, paths[:-1], str(width))
        if page.evaluate("document.documentElement.scrollWidth > innerWidth")
    ]

    assert wide == [] and said == []


def test_what_a_page_says_is_there_without_a_script(paths: list[str], owner: Visitor, open_page: Opener) -> None:
    """The first paint needs none: headings and main content come with the page, and nothing waits for a script."""
    page = open_page(owner, "/", java_script_enabled=False)
    bare = [path for path in walk(page, paths[:-1], "no-script") if not page.locator("h1").first.is_visible()]

    assert bare == []
