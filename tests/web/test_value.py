"""What the work is worth by the agency's own figures, what a client is charged, and which of it a client sees."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from agency.leaving.bring.client import bring_all
from agency.leaving.export.archive import client_archive, write
from pipelines.models import Job, Rollback, Run, StageRun
from pipelines.reports.client.calendar import Month
from pipelines.reports.value import Work, usage_lines, work_of
from pipelines.reports.value.work import UNMANNED
from tenants import billing, scope
from tenants.models import Client, UsageIssue, ValueTerms
from tenants.models.value import MINUTES, PRICES
from tests import factories

MARCH = {"month": "2026-03"}
AT = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
TERMS = reverse("value-terms")
USAGE = reverse("usage", args=["acorn"])
FILE = reverse("usage-file", args=["acorn"])


def given(**changes: Any) -> dict[str, Any]:
    """A whole form of terms."""
    found: dict[str, Any] = {f"minutes_{step}": minutes for step, minutes in MINUTES.items()}
    found |= {f"price_{key}": price for key, price in PRICES.items()} | {"currency": "EUR", "shown": []}
    return found | changes


@pytest.fixture
def worked(acorn: Client) -> Run:
    """March: one run with every stage done, promoted; two hours of training and half an hour of pushing."""
    pipeline = factories.make_pipeline(acorn)
    run = factories.make_production(pipeline, now=AT)
    with factories.inside(acorn):
        Job.objects.all().delete()
        for kind, hours in (("train", 2.0), ("push:shop", 0.5)):
            job = Job.of(run, run=run, stage="finetune", kind=kind, queue="cpu", status="succeeded", created_at=AT)
            job.started_at, job.finished_at = AT, AT + timedelta(hours=hours)
            job.save()
    return run


def rows_of(browser: Browser, **asked: Any) -> list[list[str]]:
    response = browser.get(FILE, MARCH | asked)
    return list(csv.reader(io.StringIO(response.content.decode("utf-8-sig"))))


def march(client: Client) -> Work:
    with factories.inside(client):
        return work_of(client, Month(2026, 3, client.zone))


def test_a_month_is_counted_and_its_hours_follow_the_stated_formula(worked: Run, acorn: Client) -> None:
    work = march(acorn)
    with factories.inside(acorn):
        done = StageRun.objects.filter(status="done", stage__in=UNMANNED).count()

    assert (work.runs, work.promoted, work.blocked, work.rolled_back) == (1, 1, 0, 0)
    assert dict(work.compute_s) == {"train": 7200.0, "ship": 1800.0} and done == 6
    assert work.hours_saved(ValueTerms()) == sum(MINUTES[step] for step in UNMANNED) / 60
    assert work.hours_saved(ValueTerms(minutes={step: 10 for step in MINUTES})) == 1.0


def test_a_rollback_by_the_machine_saves_time_and_one_by_a_person_does_not(worked: Run, acorn: Client) -> None:
    before = march(acorn).hours_saved(ValueTerms())
    with factories.inside(acorn):
        both = {"from_version": worked.model_version, "to_version": worked.model_version, "metric": "error"}
        at = {"decided_at": AT, "flipped_at": AT}
        for phase in ("canary", "person"):
            Rollback.of(worked, pipeline=worked.pipeline, phase=phase, decided_by="x", **at, **both).save()

    work = march(acorn)
    assert work.rolled_back == 2 and work.hours_saved(ValueTerms()) == before + 1


def test_another_month_and_another_client_count_for_themselves(worked: Run, birch: Client, acorn: Client) -> None:
    with factories.inside(acorn):
        assert work_of(acorn, Month(2026, 4, acorn.zone)).runs == 0
    with factories.inside(birch):
        assert work_of(birch, Month(2026, 3, birch.zone)).runs == 0


def test_a_client_is_not_charged_for_the_time_on_the_way(acorn: Client, tmp_path: Path) -> None:
    """What ran when the archive was made ended then, not three weeks later when somebody brought it."""
    run = factories.make_run(factories.make_pipeline(acorn), at="finetune", status="waiting")
    with factories.inside(acorn):
        Job.objects.all().delete()
        fields = {"queue": "gpu", "status": "running", "created_at": AT, "started_at": AT, "due_at": AT}
        Job.of(run, run=run, stage="finetune", kind="train", **fields).save()
    made_at = AT + timedelta(minutes=30)
    write(tmp_path / "acorn.tar", client_archive(acorn, made_at))

    south = factories.make_agency("south")
    [told] = bring_all(tmp_path / "acorn.tar", south, "tests", made_at + timedelta(days=20), "acorn-2")

    with scope.agency_scope(south.pk):
        new = Client.objects.get(slug=told.slug)
    assert march(new).compute_s == {"train": 1800.0}
    with factories.inside(new):
        assert Run.objects.get().finished_at == made_at


def test_amounts_are_what_a_reader_works_out_again() -> None:
    work = Work(runs=3, promoted=1, answers=12_345)
    work.compute_s["train"] = 3601.0
    terms = ValueTerms(prices={"month": "100", "run": "1.005", "train_hour": "2.50", "thousand_answers": "0.10"})

    lines = {line.line: line for line in usage_lines(work, terms)}

    for line in lines.values():
        assert Decimal(line.amount) == (Decimal(line.quantity) * Decimal(line.price)).quantize(
            Decimal("0.01"), "ROUND_HALF_UP"
        )
    assert (lines["Runs"].amount, lines["Training"].quantity, lines["Answers"].amount) == ("3.02", "1", "1.23")


def test_the_page_shows_every_client_and_the_sum(owner: Browser, worked: Run, birch: Client) -> None:
    text = owner.get(reverse("value"), MARCH).text

    assert "Acorn" in text and "Birch" in text and "All clients" in text and "5.3" in text


def test_the_page_asks_as_often_for_one_client_as_for_many(owner: Browser, worked: Run, acorn: Client) -> None:
    def queries() -> int:
        with CaptureQueriesContext(
            connection,
        ) as caught:
            owner.get(reverse("value"), MARCH)
        return len(caught)

    owner.get(reverse("value"), MARCH)
    one = queries()
    for number in range(5):
        factories.make_production(factories.make_pipeline(factories.make_client(acorn.agency, f"more-{number}")), AT)

    assert queries() == one


@pytest.mark.parametrize(
    ("change", "sentence"),
    [({"price_run": "-1"}, "greater"), ({"minutes_deploy": "x"}, "whole number"), ({"currency": "€"}, "valid value")],
)
def test_bad_terms_are_refused_beside_their_field_and_keep_what_was_typed(
    owner: Browser, change: dict[str, str], sentence: str
) -> None:
    response = owner.post(TERMS, given(price_month="77", **change))

    assert response.status_code == 422 and sentence in response.text and 'value="77"' in response.text


def test_a_month_is_issued_once_and_never_changes(owner: Browser, worked: Run, acorn: Client) -> None:
    owner.post(TERMS, given(price_run="40", price_month="200"))
    assert rows_of(owner)[1][2] == "draft"

    owner.post(f"{USAGE}?month=2026-03", {"issue": "1"})
    owner.post(TERMS, given(price_run="99", price_month="999"))

    assert rows_of(owner)[1][2] == "1"
    assert rows_of(owner)[-1][-2] == "240.00"
    with factories.inside(acorn), pytest.raises(scope.ScopeError):
        UsageIssue.objects.get().save()
    with factories.inside(acorn), pytest.raises(DatabaseError), transaction.atomic():
        UsageIssue.objects.update(total=1)


def test_a_correction_is_a_new_number_with_its_reason(owner: Browser, worked: Run, acorn: Client) -> None:
    owner.post(f"{USAGE}?month=2026-03", {"issue": "1"})
    assert "why it is corrected" in owner.post(f"{USAGE}?month=2026-03", {"issue": "1"}).text
    assert "nothing to correct" in owner.post(f"{USAGE}?month=2026-03", {"reason": "x"}).text
    owner.post(TERMS, given(price_month="10"))

    owner.post(f"{USAGE}?month=2026-03", {"reason": "the month's price was missing"})

    assert rows_of(owner)[-1][-2] == "10.00" and rows_of(owner, issue="1")[-1][-2] == "0.00"
    assert "Issue 2" in owner.get(f"{USAGE}?month=2026-03").text


def test_the_wrong_currency_is_corrected_like_a_wrong_price(owner: Browser, worked: Run, acorn: Client) -> None:
    owner.post(TERMS, given(price_month="10", currency="EUR"))
    owner.post(f"{USAGE}?month=2026-03", {"issue": "1"})
    owner.post(TERMS, given(price_month="10", currency="USD"))

    owner.post(f"{USAGE}?month=2026-03", {"reason": "this client is charged in dollars"})

    with factories.inside(acorn):
        issued = list(UsageIssue.objects.order_by("number").values_list("number", "currency"))
    assert issued == [(1, "EUR"), (2, "USD")]


def test_a_month_that_is_not_over_is_not_issued(owner: Browser, acorn: Client) -> None:
    response = owner.post(USAGE, {"issue": "1"})

    assert response.status_code == 422 and "not over" in response.text
    with factories.inside(acorn):
        assert not UsageIssue.objects.exists()


def test_an_engineer_issues_nothing(engineer: Browser, worked: Run) -> None:
    assert engineer.post(f"{USAGE}?month=2026-03", {"issue": "1"}).status_code == 404


def test_a_name_that_is_a_formula_is_text_in_the_file(owner: Browser, acorn: Client) -> None:
    with scope.agency_scope(acorn.agency_id):
        Client.objects.filter(pk=acorn.pk).update(name='=HYPERLINK("http://bad.example")')

    assert rows_of(owner)[1][0] == '\'=HYPERLINK("http://bad.example")'


def test_a_client_sees_only_what_is_switched_on(owner: Browser, reader: Browser, worked: Run, acorn: Client) -> None:
    report = reverse("report", args=["acorn"])
    assert "hours of work saved" not in reader.get(report, MARCH).text

    owner.post(TERMS, given(shown=["hours_saved"]))

    text = reader.get(report, MARCH).text
    assert "hours of work saved" in text and "computing" not in text


def test_terms_are_read_from_a_clients_scope(owner: Browser, acorn: Client) -> None:
    owner.post(TERMS, given(currency="USD"))

    with factories.inside(acorn):
        assert billing.terms_of(acorn.agency_id).currency == "USD"
