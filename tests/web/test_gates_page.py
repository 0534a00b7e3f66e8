"""A pipeline's gates: what they do to an equal retrain, and waivers with approver, reason and end."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client as Browser
from django.urls import reverse
from django.utils import timezone

from pipelines.actions import ActionRefused, put_set, waive_gate, withdraw_waiver
from pipelines.models import GateResult, Waiver
from tenants.models import AuditEvent, Client, Pipeline
from tests import factories

HERE = reverse("pipeline-gates", args=["acorn", "support"])
ODDS = reverse("gate-odds", args=["acorn", "support"])
WAIVE = reverse("waive-gate", args=["acorn", "support"])


@pytest.fixture
def support(acorn: Client) -> Pipeline:
    return factories.make_pipeline(acorn)


def with_set(pipeline: Pipeline, kind: str, size: int) -> None:
    message = {"role": "user", "content": "Where is my parcel?"}
    cases = [
        {"id": f"c{n}", "messages": [message], "check": "accuracy", "expected": {"label": "delivery"}}
        for n in range(size)
    ]
    with factories.inside(pipeline):
        put_set(pipeline, kind, cases, actor="tests", note="", now=factories.NOW)


def judged(pipeline: Pipeline, **numbers: object) -> None:
    run = factories.make_run(pipeline, at="deploy", status="cancelled")
    with factories.inside(pipeline):
        GateResult.objects.filter(run=run, name="accuracy").update(numbers=numbers)


def test_the_odds_are_those_of_the_tables_for_the_sets_at_hand(viewer: Browser, support: Pipeline) -> None:
    with_set(support, "heldout", 400)
    with_set(support, "regression", 100)

    found = viewer.get(ODDS).context["found"]

    by_name = {line.gate.name: line for line in found.lines}
    assert by_name["accuracy"].odds.kept_back == pytest.approx(0.455, abs=0.001)
    assert by_name["accuracy"].other_odds.kept_back == pytest.approx(0.18, abs=0.005)
    assert by_name["regression"].odds.kept_back == pytest.approx(0.095, abs=0.001)
    assert "safety" not in by_name  # It has no set, so it has no gate.
    assert by_name["size"].odds is None
    assert found.kept_back == pytest.approx(1 - 0.545 * 0.905, abs=0.01)
    assert all("assumed" in learned.source for learned in found.learned)


def test_what_past_verdicts_tell_takes_the_place_of_what_is_assumed(viewer: Browser, support: Pipeline) -> None:
    with_set(support, "heldout", 400)
    judged(support, n=400, plus=30, minus=20, production=0.8, candidate=0.825)

    found = viewer.get(ODDS).context["found"]

    assert found.at_hand.discordance == pytest.approx(0.10)  # Twice the smaller side.
    assert "400 answers" in found.learned[0].source


def test_the_settings_page_asks_for_the_odds_and_the_page_stands_alone(viewer: Browser, support: Pipeline) -> None:
    assert f'hx-get="{ODDS}"' in viewer.get(reverse("settings", args=["acorn", "support"])).text
    part = viewer.get(ODDS, headers={"HX-Request": "true", "HX-Target": "section#odds"}).text
    assert part.lstrip().startswith('<section class="card" id="odds">')
    assert "every candidate stays inconclusive" in part


def test_a_waiver_names_who_why_and_until_when_and_is_audited(engineer: Browser, support: Pipeline) -> None:
    sent = {"gate": "accuracy", "days": 7, "reason": "the set is being mended"}
    response = engineer.post(WAIVE, sent, follow=True)

    text = response.text
    assert "the set is being mended" in text and "in force" in text
    with factories.inside(support):
        row = Waiver.objects.get()
        assert row.is_in_force(timezone.now()) and not row.is_in_force(timezone.now() + timedelta(days=7, minutes=1))
        event = AuditEvent.objects.get(verb="gate.waive")
    assert (event.subject, event.detail["reason"]) == ("support/accuracy", "the set is being mended")


@pytest.mark.parametrize(
    ("gate", "days", "reason", "says"),
    [
        ("unknown", 7, "why", "There is no gate unknown"),
        ("size", 7, "why", "does not block"),
        ("accuracy", 0, "why", "at most 90 days"),
        ("accuracy", 91, "why", "at most 90 days"),
        ("accuracy", 7, "  ", "Say why"),
    ],
)
def test_a_waiver_that_cannot_be_is_refused(support: Pipeline, gate: str, days: int, reason: str, says: str) -> None:
    until = factories.NOW + timedelta(days=days)
    with factories.inside(support), pytest.raises(ActionRefused, match=says):
        waive_gate(support, gate, actor="owner", reason=reason, expires_at=until, now=factories.NOW)


def test_a_form_without_a_reason_keeps_its_input(engineer: Browser, support: Pipeline) -> None:
    response = engineer.post(WAIVE, {"gate": "latency", "days": "12", "reason": ""})

    assert response.status_code == 422
    assert 'value="12"' in response.text and '<option value="latency" selected>' in response.text


def test_a_withdrawn_waiver_is_over_and_stays_in_the_list(engineer: Browser, support: Pipeline) -> None:
    row = factories.make_waiver(support)
    url = reverse("withdraw-waiver", args=["acorn", "support", row.pk])

    text = engineer.post(url, {"reason": "mended"}, follow=True).text

    assert "withdrawn" in text and "mended" in text
    assert engineer.post(url, {"reason": "again"}).status_code == 422
    with factories.inside(support):
        assert not Waiver.objects.get().is_in_force(timezone.now())
        assert AuditEvent.objects.filter(verb="gate.unwaive").count() == 1
        with pytest.raises(ActionRefused, match="ended already"):
            withdraw_waiver(row, actor="owner", reason="once more", now=timezone.now())


def test_a_waiver_that_is_withdrawn_under_another_one_says_that_the_gate_does_not_decide(
    engineer: Browser, support: Pipeline
) -> None:
    rows = [factories.make_waiver(support) for _ in range(2)]
    urls = [reverse("withdraw-waiver", args=["acorn", "support", row.pk]) for row in rows]

    first, last = (engineer.post(url, {"reason": "mended"}, follow=True).text for url in urls)

    assert "does not decide all the same: it is waived by owner@north.example until" in first
    assert "The gate decides again" not in first and "The gate decides again" in last


def test_an_expired_waiver_is_shown_as_ended(viewer: Browser, support: Pipeline) -> None:
    factories.make_waiver(support, days=1)

    assert [line.status for line in viewer.get(HERE).context["waivers"]] == ["ended"]
