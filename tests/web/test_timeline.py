"""What changed on Tuesday: acts in order with their pages, filters in the address, answers that changed, a CSV."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client as Browser
from django.urls import reverse

from tenants import actions
from tenants.models import AuditEvent, Client
from tests import factories

PAGE, FILE = reverse("timeline", args=["acorn"]), reverse("timeline-file", args=["acorn"])
TUESDAY = datetime(2026, 3, 10, 9, 30, tzinfo=UTC)
THE_DAY = {"since": "2026-03-10", "until": "2026-03-10"}


@pytest.fixture
def tuesday(acorn: Client) -> None:
    """A host was added, a run started with a prompt only, somebody joined; a threshold moved the day before."""
    pipeline = factories.make_pipeline(acorn)
    factories.make_production(pipeline, now=TUESDAY)
    with factories.inside(acorn):
        actions.add_host(acorn, "attic", "http://127.0.0.1:9", "ana@north.example", TUESDAY)
        AuditEvent.append(acorn, "ben@north.example", "run.start", "support run 1", TUESDAY, {"kind": "prompt"})
        AuditEvent.append(acorn, "ana@north.example", "member.add", "rae@acorn.example", TUESDAY)
        AuditEvent.append(pipeline, "ana@north.example", "settings.change", "support r1", TUESDAY - timedelta(days=1))


def test_a_day_shows_what_happened_on_it_and_nothing_else(owner: Browser, tuesday: None) -> None:
    text = owner.get(PAGE, THE_DAY).text

    assert "host.add" in text and "member.add" in text and "settings.change" not in text
    assert reverse("host", args=["acorn", "attic"]) in text and reverse("run", args=["acorn", "support", 1]) in text


@pytest.mark.parametrize(
    ("asked", "there", "gone"),
    [
        ({"kind": "hosts"}, "host.add", "member.add"),
        ({"kind": "prompts"}, "run.start", "host.add"),
        ({"kind": "people"}, "member.add", "run.start"),
        ({"q": "BEN@"}, "run.start", "member.add"),
    ],
)
def test_the_address_narrows_it(owner: Browser, tuesday: None, asked: dict[str, str], there: str, gone: str) -> None:
    text = owner.get(PAGE, THE_DAY | asked).text

    assert f"<code>{there}</code>" in text and f"<code>{gone}</code>" not in text


def test_a_version_that_went_into_service_is_shown_with_its_cases(owner: Browser, tuesday: None) -> None:
    text = owner.get(PAGE, THE_DAY).text

    assert reverse("comparison", args=["acorn", "support", 1]) in text


def test_days_are_the_clients_own(owner: Browser, acorn: Client, tuesday: None) -> None:
    with factories.inside(acorn):
        AuditEvent.append(acorn, "x", "key.issue", "late", datetime(2026, 3, 10, 23, 30, tzinfo=UTC))
    assert "key.issue" in owner.get(PAGE, THE_DAY).text
    with factories.inside(acorn):
        Client.objects.update(timezone="Europe/Madrid")

    assert "<code>key.issue</code>" not in owner.get(PAGE, THE_DAY).text


@pytest.mark.parametrize(
    "asked", [{"since": "yesterday"}, {"since": "2026-03-11", "until": "2026-03-10"}, {"kind": "x"}]
)
def test_dates_that_cannot_be_read_are_refused_in_place(owner: Browser, acorn: Client, asked: dict[str, str]) -> None:
    assert owner.get(PAGE, asked).status_code == 422
    assert owner.get(FILE, asked).status_code == 422


def test_the_file_holds_the_same_lines_and_no_formula(owner: Browser, acorn: Client, tuesday: None) -> None:
    with factories.inside(acorn):
        AuditEvent.append(acorn, "=cmd()", "key.issue", "@x", TUESDAY, {"reason": "+1"})

    rows = list(csv.reader(io.StringIO(owner.get(FILE, THE_DAY).content.decode("utf-8-sig"))))

    assert rows[0] == ["at", "about", "actor", "verb", "subject", "reason"] and len(rows) == 5
    assert rows[1][1:] == ["people", "'=cmd()", "key.issue", "'@x", "'+1"]


def test_another_clients_acts_are_not_here(owner: Browser, birch: Client, tuesday: None) -> None:
    assert "host.add" not in owner.get(reverse("timeline", args=["birch"]), THE_DAY).text
