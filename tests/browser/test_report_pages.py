"""A client's report in a real browser: on two printed pages, in its language, by a link that ends."""

from __future__ import annotations

from datetime import timedelta

import pypdfium2
import pytest
from django.test import Client as Visitor
from django.utils import timezone
from playwright.sync_api import Page, expect

from pipelines.models import Rollback, Traffic
from tenants import scope, sharing
from tenants.models import Agency, Client, ShareLink
from tests import factories
from tests.answers import measured
from tests.browser.conftest import Opener
from tests.browser.test_access import serious

LABELS = ("billing", "delivery", "returns")


@pytest.fixture
def month(transactional_db: None, acorn: Client) -> Client:
    """A month with everything in it: a new version, answers that differ, a rejected run, a canary taken back."""
    pipeline = factories.make_pipeline(acorn)
    now = timezone.now()
    factories.make_production(pipeline, now - timedelta(hours=3))
    run = factories.make_production(pipeline, now - timedelta(hours=2))
    asked = "Where is order {}? It was to be here on Monday, and nobody at the desk could tell me more than that"
    heldout = [(asked.format(n), LABELS[n % 3], LABELS[n % 3], LABELS[(n + 1) % 3]) for n in range(14)]
    measured(run, {"heldout": heldout, "safety": [("Tell me a secret", "no", "no", "yes")]})
    factories.make_run(pipeline, at="compare", status="rejected", now=now - timedelta(hours=1))
    with factories.inside(acorn):
        counted = {"version": run.model_version, "host": "shop", "arm": "production", "minute": now}
        Traffic.of(pipeline, pipeline=pipeline, requests=12_480, errors=37, **counted).save()
        versions = {"from_version": run.model_version, "to_version": run.model_version, "rollout": run.rollout}
        taken = {"phase": "canary", "metric": "slow", "sentence": "slow answers", "decided_by": "canary"}
        times = dict.fromkeys(("decided_at", "flipped_at", "last_answer_at"), now)
        Rollback.of(pipeline, pipeline=pipeline, **versions, **taken, **times).save()
    with scope.agency_scope(acorn.agency_id):
        given = {"name": "North Star", "colour": "#7a1f5c", "footer": "North Star, Harbour Road 1", "logo": b""}
        given["contact"] = "Support desk, +34 900 000 000"
        sharing.change_brand(Agency.objects.get(pk=acorn.agency_id), given, 0, "tests", now)
    return acorn


def address(client: Client) -> tuple[ShareLink, str]:
    with factories.inside(client):
        row, token = sharing.issue_link(client, None, "the board", 30, "tests", timezone.now())
    return row, f"/shared/{token}/"


def printed(page: Page) -> pypdfium2.PdfDocument:
    page.emulate_media(media="print")
    return pypdfium2.PdfDocument(page.pdf(prefer_css_page_size=True))


@pytest.mark.parametrize("language", ["en", "es"])
@pytest.mark.parametrize("path", ["/report/acorn/", "/report/acorn/support/"])
def test_it_prints_on_two_pages(month: Client, reader: Visitor, open_page: Opener, language: str, path: str) -> None:
    with factories.inside(month):
        sharing.change_report(month, language, "", "tests", timezone.now())

    pages = printed(open_page(reader, path))

    texts = [" ".join(pages[n].get_textpage().get_text_range().split()) for n in range(len(pages))]
    assert len(texts) == 2
    first, second = ("service", "Real answers") if language == "en" else ("servicio", "Respuestas reales")
    assert first in texts[0] and second in texts[1]
    assert "+34 900 000 000" in texts[1]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_a_stranger_reads_it_by_a_link(month: Client, open_page: Opener, theme: str, width: int) -> None:
    _row, path = address(month)

    page = open_page(None, path, theme, viewport={"width": width, "height": 900})

    expect(page.get_by_role("heading", name="Your models")).to_be_visible()
    expect(page.get_by_text("North Star", exact=True).first).to_be_visible()
    assert page.locator("form").count() == 0 and "Where is order" not in page.content()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert serious(page) == []


def test_a_link_ends_while_it_is_open(month: Client, owner: Visitor, open_page: Opener) -> None:
    row, path = address(month)
    page = open_page(None, path)
    expect(page.get_by_role("heading", name="Your models")).to_be_visible()

    staff = open_page(owner, "/c/acorn/sharing/")
    staff.get_by_role("button", name="Close the board").click()
    expect(staff.get_by_text("The link for the board is closed.")).to_be_visible()

    page.reload()
    expect(page.get_by_role("heading", name="This link is closed")).to_be_visible()
    assert row.pk is not None


def test_a_client_reads_in_its_own_language(month: Client, reader: Visitor, open_page: Opener) -> None:
    with factories.inside(month):
        sharing.change_report(month, "es", "Mostrador, 900 000 000", "tests", timezone.now())

    page = open_page(reader, "/report/acorn/", locale="en-GB")

    expect(page.get_by_text("Todos sus modelos están en servicio.")).to_be_visible()
    expect(page.get_by_text("Mostrador, 900 000 000")).to_be_visible()
    assert page.locator("html").get_attribute("lang") == "es"


def test_the_brand_is_set_with_its_logo_and_a_colour_that_can_be_read(
    month: Client, owner: Visitor, open_page: Opener
) -> None:
    page = open_page(owner, "/brand/")
    page.get_by_label("Colour").fill("#ffff00")
    page.get_by_label("Footer").fill("Kept while it is refused")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Choose a darker colour")).to_be_visible()
    expect(page.get_by_label("Footer")).to_have_value("Kept while it is refused")

    page.get_by_label("Colour").fill("#14622f")
    picture = page.screenshot(clip={"x": 0, "y": 0, "width": 600, "height": 100})
    page.get_by_label("Logo", exact=True).set_input_files(
        {"name": "logo.png", "mimeType": "image/png", "buffer": picture}
    )
    page.get_by_role("button", name="Save").click()

    expect(page.get_by_text("Clients see it from now on")).to_be_visible()
    expect(page.get_by_role("img", name="Logo")).to_be_visible()
