"""The gate simulator: past verdicts under another threshold, from their own numbers; nothing is changed."""

from __future__ import annotations

import pytest
from django.test import Client as Browser
from django.urls import reverse

from pipelines.models import GateResult, Run
from tenants.models import Client, Pipeline, SettingsRevision
from tests import factories

HERE = reverse("gate-simulator", args=["acorn", "support"])
NUMBERS = {
    "candidate": 0.78, "production": 0.7925, "n": 400, "plus": 8, "minus": 13, "p_worse": 0.19, "p_better": 0.9,
    "drop": 0.0125, "drop_low": -0.007, "drop_high": 0.033,
}  # fmt: skip


@pytest.fixture
def support(acorn: Client) -> Pipeline:
    return factories.make_pipeline(acorn)


@pytest.fixture
def kept_back(support: Pipeline) -> Run:
    """A run rejected because accuracy was inconclusive: +8/-13 of 400."""
    factories.make_production(support)
    run = factories.make_run(support, at="deploy", status="cancelled")
    with factories.inside(run):
        GateResult.objects.filter(run=run, name="accuracy").update(
            verdict="inconclusive", numbers=NUMBERS, sentence="accuracy: a drop up to 3.3 points is not excluded"
        )
    return run


def replay(browser: Browser, **asked: str) -> list[tuple[int, str, str]]:
    found = browser.get(HERE, {"gate": "accuracy", "effect": "block", "preset": "strict"} | asked).context["found"]
    return [(line.run.number, line.verdict.value, line.consequence) for line in found if line.changes]


def test_the_gate_as_it_is_changes_nothing(viewer: Browser, kept_back: Run) -> None:
    assert replay(viewer) == []
    assert [line.run.number for line in viewer.get(HERE).context["found"]] == [2, 1]


def test_a_looser_threshold_shows_which_run_would_have_gone_on(viewer: Browser, kept_back: Run) -> None:
    assert replay(viewer, preset="refresh", tolerance="5", evidence="preset") == [(2, "passed", "run_promote")]
    assert replay(viewer, preset="refresh", tolerance="3", evidence="preset") == []


def test_a_gate_that_only_flags_would_not_have_kept_it_back(viewer: Browser, kept_back: Run) -> None:
    assert replay(viewer, effect="flag", evidence="preset") == [(2, "inconclusive", "run_promote")]


def test_a_verdict_without_numbers_stands_and_says_so(viewer: Browser, kept_back: Run) -> None:
    text = viewer.get(HERE, {"gate": "accuracy"}).text

    assert "The stored numbers do not tell" in text  # Run 1 has none.


def test_a_gate_that_cannot_be_is_refused_with_a_sentence(viewer: Browser, kept_back: Run) -> None:
    asked = {"gate": "accuracy", "effect": "block", "preset": "strict", "tolerance": "5", "evidence": "preset"}
    response = viewer.get(HERE, asked)

    assert response.context["found"] == ()
    assert "strict tolerates nothing" in response.text and 'value="5' in response.text


def test_nothing_is_changed_by_asking(viewer: Browser, kept_back: Run, support: Pipeline) -> None:
    with factories.inside(support):
        before = (SettingsRevision.objects.count(), list(GateResult.objects.values_list("verdict", flat=True)))
    replay(viewer, preset="refresh", tolerance="5", evidence="preset")

    with factories.inside(support):
        assert before == (SettingsRevision.objects.count(), list(GateResult.objects.values_list("verdict", flat=True)))
