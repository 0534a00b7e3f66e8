"""The gate log, the rollback log and the audit: narrowed and paged by address."""

from __future__ import annotations

import csv
import io
from datetime import timedelta

import pytest
from django.test import Client as Browser
from django.urls import reverse

from agency.portal.csv_file import neutral
from pipelines.models import GateResult, Rollback
from tenants.models import AuditEvent, Client, Pipeline
from tests import factories

GATES = reverse("gate-log")
ROLLBACKS = reverse("rollback-log")
AUDIT = reverse("agency-audit")


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
        ({"pipeline": "support", "effect": "warn"}, 2),
        ({"effect": "waived"}, 0),
        ({"effect": "shadow"}, 0),
        ({"since": "2026-03-03", "until": "2026-03-03"}, 12),
        ({"until": "2026-03-02"}, 0),
        ({"since": "no day"}, 12),
    ],
)
def test_the_log_is_narrowed_by_its_address(viewer: Browser, judged: None, wanted: dict[str, str], count: int) -> None:
    assert len(lines(viewer, **wanted)) == count


def test_a_verdict_reads_as_its_sentence_and_leads_to_its_run(viewer: Browser, judged: None) -> None:
    text = viewer.get(GATES, {"verdict": "failed"}).text

    assert "accuracy 0.70 &lt; 0.88 (production)" in text
    assert reverse("run", args=["birch", "support", 1]) in text


def test_the_log_is_a_csv_file_with_the_same_filter_and_no_formulas(
    viewer: Browser, judged: None, birch: Client
) -> None:
    with factories.inside(birch):
        GateResult.objects.filter(name="accuracy").update(
            sentence='=HYPERLINK("http://x.example")', numbers={"candidate": 0.7, "n": 400, "more_cases": 12}
        )

    response = viewer.get(reverse("gate-log-file"), {"verdict": "failed"})

    table = list(csv.DictReader(io.StringIO(response.content.decode("utf-8-sig"))))
    assert response["Content-Disposition"] == 'attachment; filename="gate-log.csv"'
    assert [(row["client"], row["gate"], row["verdict"], row["n"]) for row in table] == [
        ("Birch", "accuracy", "failed", "400")
    ]
    assert table[0]["sentence"] == '\'=HYPERLINK("http://x.example")'
    assert table[0]["more cases"] == "12"


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", " =1", "\r=1"])
def test_text_that_a_spreadsheet_would_run_is_neutralised(text: str) -> None:
    assert neutral(text) == f"'{text}"


def test_numbers_and_plain_text_stay_as_they_are() -> None:
    assert [neutral(cell) for cell in (-0.5, 3, "a=b", None)] == [-0.5, 3, "a=b", ""]


def test_a_waived_verdict_is_marked_and_found(viewer: Browser, judged: None, birch: Client) -> None:
    with factories.inside(birch):
        waiver = factories.make_waiver(Pipeline.objects.get(client=birch))
        GateResult.objects.filter(name="accuracy").update(waiver=waiver)

    response = viewer.get(GATES, {"effect": "waived"})

    assert [g.name for g in response.context["page"]] == ["accuracy"]
    assert "waived" in response.text.partition("<tbody>")[2]


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
        times = {
            "decided_at": factories.NOW,
            "flipped_at": factories.NOW,
            "last_answer_at": factories.NOW + timedelta(seconds=0.8),
        }
        Rollback.of(
            pipeline, pipeline=pipeline, from_version=new.model_version, to_version=old.model_version, **fields, **times
        ).save()

    text = viewer.get(ROLLBACKS).text

    assert "error 6.1 % vs 0.4 %" in text and "0.8 s" in text and "v2 → v1" in text
    assert "Nothing was ever taken back" in viewer.get(ROLLBACKS, {"phase": "monitor"}).text


def test_the_list_alone_answers_a_changed_filter(viewer: Browser, judged: None) -> None:
    response = viewer.get(GATES, {"verdict": "failed"}, headers={"HX-Request": "true", "HX-Target": "section#lines"})

    assert response.text.lstrip().startswith('<section class="card" id="lines">')


@pytest.fixture
def busy(acorn: Client, birch: Client) -> None:
    """Acts in the agency itself (its people) and at two clients."""
    factories.make_pipeline(acorn)
    factories.make_pipeline(birch)


def acts(browser: Browser, **wanted: str) -> list[AuditEvent]:
    return list(browser.get(AUDIT, wanted).context["page"])


def test_the_audit_holds_the_agencys_own_acts_and_those_at_its_clients(
    owner: Browser, engineer: Browser, busy: None
) -> None:
    seen = acts(engineer)

    assert {act.client.slug if act.client else "" for act in seen} == {"", "acorn", "birch"}
    assert [act.pk for act in seen] == sorted((act.pk for act in seen), reverse=True)
    assert reverse("audit", args=["birch"]) in engineer.get(AUDIT).text


@pytest.mark.parametrize(
    ("wanted", "shown"),
    [
        ({"client": "-"}, {("", "member.add")}),
        ({"client": "acorn", "verb": "pipeline.create"}, {("acorn", "pipeline.create")}),
        ({"verb": "host.add"}, {("acorn", "host.add"), ("birch", "host.add")}),
        ({"verb": "host.add", "actor": "TESTS"}, {("acorn", "host.add"), ("birch", "host.add")}),
        ({"actor": "nobody"}, set()),
    ],
)
def test_the_audit_is_narrowed_by_its_address(
    owner: Browser, busy: None, wanted: dict[str, str], shown: set[tuple[str, str]]
) -> None:
    assert {(act.client.slug if act.client else "", act.verb) for act in acts(owner, **wanted)} == shown


def test_a_long_audit_is_paged_and_keeps_its_filter(owner: Browser, acorn: Client) -> None:
    for _ in range(45):
        factories.make_key(acorn)

    text = owner.get(AUDIT, {"verb": "key.issue"}).text

    assert "?verb=key.issue&amp;page=2" in text and text.count("<code>key.issue</code>") == 40


def test_another_agencys_acts_are_not_there(stranger: Browser, busy: None) -> None:
    assert {act.subject for act in acts(stranger)} == {"owner@south.example", "cedar"}


def test_a_viewer_is_not_led_to_the_audit(viewer: Browser, engineer: Browser, agency: object) -> None:
    assert f'href="{AUDIT}"' in engineer.get("/").text
    assert f'href="{AUDIT}"' not in viewer.get("/").text
