"""The gate log and the rollback log: narrowed and paged by address."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client as Browser
from django.urls import reverse

from pipelines.models import GateResult, Rollback
from tenants.models import Client
from tests import factories

GATES = reverse("gate-log")
ROLLBACKS = reverse("rollback-log")


@pytest.fixture
def judged(acorn: Client, birch: Client) -> None:
    """Six verdicts at each of two clients; birch's accuracy failed."""
    for client in (acorn, birch):
        factories.make_run(factories.make_pipeline(client), at="deploy", status="held")
    with factories.inside(birch):
        GateResult.objects.filter(name="accuracy").update(
            verdict="failed", sentence="accuracy 0.70 < 0.88 (production)"
        )


def lines(browser: Browser, **wanted: str) -> list[GateResult]:
    return list(browser.get(GATES, wanted).context["page"])


def test_the_log_holds_every_verdict_of_the_agency(viewer: Browser, judged: None) -> None:
    assert len(lines(viewer)) == 12


@pytest.mark.parametrize(
    ("wanted", "count"),
    [
        ({"client": "birch"}, 6),
        ({"verdict": "failed"}, 1),
        ({"gate": "safety"}, 2),
        ({"client": "acorn", "verdict": "failed"}, 0),
    ],
)
def test_the_log_is_narrowed_by_its_address(viewer: Browser, judged: None, wanted: dict[str, str], count: int) -> None:
    assert len(lines(viewer, **wanted)) == count


def test_a_verdict_reads_as_its_sentence_and_leads_to_its_run(viewer: Browser, judged: None) -> None:
    text = viewer.get(GATES, {"verdict": "failed"}).text

    assert "accuracy 0.70 &lt; 0.88 (production)" in text
    assert reverse("run", args=["birch", "support", 1]) in text


def test_a_page_link_keeps_the_filter(viewer: Browser, acorn: Client) -> None:
    pipeline = factories.make_pipeline(acorn)
    for _ in range(8):
        factories.make_run(pipeline, at="deploy", status="cancelled")

    text = viewer.get(GATES, {"client": "acorn"}).text

    assert "?client=acorn&amp;page=2" in text


def test_another_agencys_verdicts_are_not_there(stranger: Browser, judged: None) -> None:
    assert lines(stranger) == []


def test_the_rollback_log_shows_numbers_and_seconds(viewer: Browser, acorn: Client) -> None:
    pipeline = factories.make_pipeline(acorn)
    old, new = factories.make_production(pipeline), factories.make_production(pipeline)
    with factories.inside(pipeline):
        fields = {"phase": "canary", "metric": "error", "sentence": "error 6.1 % vs 0.4 %", "decided_by": "canary"}
        times = {"decided_at": factories.NOW, "last_answer_at": factories.NOW + timedelta(seconds=0.8)}
        Rollback.of(
            pipeline, pipeline=pipeline, from_version=new.model_version, to_version=old.model_version, **fields, **times
        ).save()

    text = viewer.get(ROLLBACKS).text

    assert "error 6.1 % vs 0.4 %" in text and "0.8 s" in text and "v2 → v1" in text
    assert "Nothing was ever taken back" in viewer.get(ROLLBACKS, {"phase": "monitor"}).text


def test_the_list_alone_answers_a_changed_filter(viewer: Browser, judged: None) -> None:
    response = viewer.get(GATES, {"verdict": "failed"}, headers={"HX-Request": "true", "HX-Target": "section#lines"})

    assert response.text.lstrip().startswith('<section class="card" id="lines">')
