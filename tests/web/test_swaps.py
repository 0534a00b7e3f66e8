"""Pages and partials at one address; errors beside the page; no inline script or style anywhere."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.test import Client as Browser
from django.test import RequestFactory
from django.urls import reverse

from agency.htmx import go, target_of
from agency.portal.views import errors
from agency.telemetry.requests import RequestMiddleware
from tenants.models import Client
from tests import factories

HTMX = {"HX-Request": "true"}
# Written into archives and never answered: they bring their one style sheet along.
FILES = {"archived.html"}
TEMPLATES = sorted(Path(settings.ROOT, "templates").glob("[!m]*/**/*.html")) + sorted(
    Path(settings.ROOT, "templates").glob("*.html")
)
VENDORED = [Path(settings.ROOT, "static/vendor"), Path(settings.ROOT, "tests/browser/vendor")]


@pytest.mark.parametrize(
    ("headers", "target"),
    [
        ({}, ""),
        ({"HX-Target": "div#live"}, ""),
        (HTMX | {"HX-Target": "div#live"}, "live"),
        (HTMX | {"HX-Target": "body"}, ""),
        (HTMX | {"HX-Target": "div#live", "HX-History-Restore-Request": "true"}, ""),
    ],
)
def test_the_target_is_read_from_what_htmx_sends(headers: dict[str, str], target: str) -> None:
    assert target_of(RequestFactory().get("/", headers=headers)) == target


def test_a_redirect_is_followed_by_both_kinds_of_request() -> None:
    plain, card = RequestFactory().get("/"), RequestFactory().get("/", headers=HTMX)

    assert (go(plain, "/x/").status_code, go(plain, "/x/")["Location"]) == (303, "/x/")
    assert (go(card, "/x/").status_code, go(card, "/x/")["HX-Redirect"]) == (200, "/x/")


def test_an_error_of_a_card_is_small_and_goes_beside_the_page(owner: Browser) -> None:
    response = owner.get("/c/nobody/", headers=HTMX)

    assert response.status_code == 404 and response["HX-Retarget"] == "#flash"
    assert "<html" not in response.text and len(response.text) < 1000


def test_a_page_that_is_not_there_is_a_page(owner: Browser) -> None:
    response = owner.get("/c/nobody/")

    assert response.status_code == 404 and "<html" in response.text
    assert "not yours to see" in response.text


def test_a_fault_gives_the_id_of_its_request_to_quote(caplog: pytest.LogCaptureFixture) -> None:
    response = RequestMiddleware(errors.server_error)(RequestFactory().get("/somewhere/"))

    error_id = re.search(r"<code>([0-9a-f]{32})</code>", response.text)
    assert response.status_code == 500 and error_id is not None and response["X-Request-Id"] == error_id[1]
    assert error_id[1] in caplog.text and "/somewhere/" in caplog.text


def test_a_form_without_its_token_is_refused_in_a_sentence(acorn: Client) -> None:
    browser = Browser(enforce_csrf_checks=True)

    response = browser.post(reverse("login"), {"login": "a@north.example", "password": "x"})

    card = browser.post(reverse("login"), headers=HTMX)

    assert response.status_code == 403 and "too old to be trusted" in response.text and "<html" in response.text
    assert card.status_code == 403 and "too old to be trusted" in card.text and "<html" not in card.text


def test_an_expired_session_leads_the_whole_page_to_the_sign_in(anonymous: Browser, acorn: Client) -> None:
    response = anonymous.get(reverse("client", args=["acorn"]), headers=HTMX, follow=True)

    assert response["HX-Redirect"].startswith(reverse("login"))


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: str(path.relative_to(settings.ROOT / "templates")))
def test_no_template_holds_inline_script_or_style(path: Path) -> None:
    text = path.read_text()

    # What the browser does not run (a block of JSON) is data.
    runs = r"<script(?![^>]*(?:\ssrc=|\stype=\"application/json\"))"
    sheet = "" if path.name in FILES else "<style|"
    assert not re.search(rf"{sheet}\sstyle=|\son\w+=|javascript:|hx-on|{runs}", text)
    assert not re.search(r"(?:src|href)=\"https?:", text)


def test_the_policy_stands_on_every_answer(owner: Browser) -> None:
    for response in (owner.get("/"), owner.get("/c/nobody/"), Browser().get(reverse("login"))):
        assert "script-src 'self';" in response["Content-Security-Policy"]
        assert "unsafe" not in response["Content-Security-Policy"]


@pytest.mark.parametrize("folder", VENDORED, ids=lambda folder: folder.parent.name)
def test_vendored_files_are_those_of_the_list(folder: Path) -> None:
    listed = dict(reversed(line.split("  ./", 1)) for line in (folder / "SHA256SUMS").read_text().splitlines())
    there = {
        str(path.relative_to(folder)): path
        for path in folder.rglob("*")
        if path.is_file() and path.name != "SHA256SUMS"
    }

    assert {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in there.items()} == listed
    assert all((path.parent / "LICENSE").is_file() for path in there.values() if path.parent != folder)


def test_the_own_script_stays_small() -> None:
    assert len(Path(settings.ROOT, "static/retune.js").read_text().splitlines()) <= 100


def test_every_page_has_one_heading_and_a_title(owner: Browser, acorn: Client) -> None:
    pipeline = factories.make_pipeline(acorn)
    run = factories.make_production(pipeline)
    names: list[tuple[str, list[Any]]] = [
        ("overview", []),
        ("gate-log", []),
        ("rollback-log", []),
        ("new-client", []),
        ("client", ["acorn"]),
        ("audit", ["acorn"]),
        ("new-pipeline", ["acorn"]),
        ("report", ["acorn"]),
    ] + [
        (name, ["acorn", "support"])
        for name in ("pipeline", "runs", "versions", "quarantine", "settings", "settings-history")
    ]
    names += [
        ("run", ["acorn", "support", run.number]),
        ("version", ["acorn", "support", 1]),
        ("roll-back", ["acorn", "support", 1]),
    ]

    for name, args in names:
        text = owner.get(reverse(name, args=args)).text
        assert text.count("<h1") == 1, name
        assert re.search(r"<title>[^<]{3,}</title>", text), name
