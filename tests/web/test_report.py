"""A client's report of a month: what its own people read, and what they never see."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.test import Client as Browser
from django.urls import reverse

from agency.mail.digest import digest_of
from pipelines.models import Rollback, Traffic
from pipelines.reports.client import Month, client_report, read_month
from pipelines.reports.value import work_of
from tenants import actions
from tenants.judges import allow_judge
from tenants.models import Client, User
from tests import factories

HERE = reverse("report", args=["acorn"])
MARCH = "?month=2026-03"


@pytest.fixture
def history(acorn: Client) -> None:
    """Version 1 in production since March; a rejected run after it, and a version taken back by a person."""
    pipeline = factories.make_pipeline(acorn)
    first = factories.make_production(pipeline)
    factories.make_run(pipeline, at="compare", status="rejected")
    with factories.inside(pipeline):
        fields = {"phase": "person", "metric": "decision", "sentence": "Robin of support did not like it"}
        versions = {"from_version": first.model_version, "to_version": first.model_version}
        by = {"decided_by": "owner@north.example", "decided_at": factories.NOW, "flipped_at": factories.NOW}
        Rollback.of(pipeline, pipeline=pipeline, **by, **versions, **fields).save()


def test_it_says_how_it_is_what_changed_and_what_was_tested(reader: Browser, history: None) -> None:
    text = reader.get(HERE + MARCH).text

    assert "All your models are in service." in text
    assert "1 new version went live, after it had passed its tests." in text
    assert "What v1 was tested on" in text and "It passed every safety question." in text
    assert "the tests below; it did not need a person" in text


def test_queries_do_not_grow_with_pipelines(
    in_acorn: Client, history: None, django_assert_max_num_queries: Any
) -> None:
    month = read_month("2026-03", factories.NOW, ZoneInfo("Europe/Madrid"))
    with django_assert_max_num_queries(30) as few:
        [alone] = client_report(in_acorn, factories.NOW, month).pipelines
    for number in range(4):
        factories.make_production(factories.make_pipeline(in_acorn, f"task-{number}"))
    with django_assert_max_num_queries(len(few.captured_queries)):
        report = client_report(in_acorn, factories.NOW, month)
    assert len(report.pipelines) == 5 and all(part.changes and part.runs for part in report.pipelines)
    assert alone in report.pipelines


def test_what_went_wrong_is_told_in_a_clients_words(reader: Browser, history: None) -> None:
    text = reader.get(HERE + MARCH).text

    assert "1 version was taken back" in text and "Your agency took it back." in text
    assert "It was not shown to be as good as what you have; nothing changed." in text
    assert "left rejected by a test" not in text


def test_whom_a_failure_touched_is_counted(in_acorn: Client) -> None:
    pipeline = factories.make_pipeline(in_acorn)
    run = factories.make_production(pipeline)
    counted = {"version": run.model_version, "host": "shop", "arm": "candidate", "minute": factories.NOW}
    Traffic.of(pipeline, pipeline=pipeline, requests=120, errors=7, **counted).save()
    taken = {"phase": "canary", "metric": "error", "sentence": "errors 0.06 (candidate)", "decided_by": "canary"}
    when = dict.fromkeys(("decided_at", "flipped_at", "last_answer_at"), factories.NOW + timedelta(hours=1))
    versions = {"from_version": run.model_version, "to_version": run.model_version, "rollout": run.rollout}
    Rollback.of(pipeline, pipeline=pipeline, **versions, **taken, **when).save()

    [problem] = client_report(in_acorn, factories.NOW + timedelta(days=1)).pipelines[0].problems

    assert (problem.touched, problem.errors) == (120, 7)
    assert problem.sentence == "More of its answers failed than those of the version before it."


def test_a_rollback_that_moved_no_traffic_is_not_told_as_done(in_acorn: Client) -> None:
    pipeline = factories.make_pipeline(in_acorn)
    older, newer = (factories.make_production(pipeline, factories.NOW + timedelta(days=day)) for day in (0, 1))
    versions = {"from_version": newer.model_version, "to_version": older.model_version}
    said = {"phase": "person", "metric": "decision", "sentence": "ordered", "decided_by": "owner@north.example"}
    ordered = Rollback.of(pipeline, pipeline=pipeline, decided_at=factories.NOW + timedelta(days=2), **versions, **said)
    ordered.save()
    now, moved_at = factories.NOW + timedelta(days=4), factories.NOW + timedelta(days=3)
    month = read_month("2026-03", now, ZoneInfo("UTC"))

    waiting = client_report(in_acorn, now)
    assert not waiting.pipelines[0].problems and waiting.counts.taken_back == 0
    assert work_of(in_acorn, month).rolled_back == 0
    assert "ordered" not in str(digest_of([in_acorn], factories.NOW, now))

    ordered.flipped_at = moved_at
    ordered.save()

    done = client_report(in_acorn, now)
    assert [problem.at for problem in done.pipelines[0].problems] == [moved_at] and done.counts.taken_back == 1
    assert work_of(in_acorn, month).rolled_back == 1
    assert "ordered" in str(digest_of([in_acorn], factories.NOW, now))


def test_neither_hosts_nor_staff_nor_other_clients_nor_prompts_are_in_it(
    reader: Browser, history: None, birch: Client, acorn: Client
) -> None:
    factories.make_production(factories.make_pipeline(birch, "secret-birch-task"))
    pages = [HERE + MARCH, reverse("pipeline-report", args=["acorn", "support"]) + MARCH]

    for page in pages:
        text = reader.get(page).text.replace("reader@north.example", "")  # The reader, signed in.
        for hidden in ("north.example", "127.0.0.1", "deploy.invalid", "shop", "Robin", "Birch", "Secret", "llama.cpp"):
            assert hidden not in text


def test_an_approver_is_named_by_name_and_never_by_address(in_acorn: Client, history: None) -> None:
    version = client_report(in_acorn, factories.NOW).pipelines[0].version
    assert version is not None
    version.approved_by = "kay@north.example"
    version.save()

    assert client_report(in_acorn, factories.NOW).pipelines[0].changes[0].approved_by == "your agency"
    User.objects.create(email="kay@north.example", name="Kay")
    assert client_report(in_acorn, factories.NOW).pipelines[0].changes[0].approved_by == "Kay"


def test_a_month_without_a_change_shows_what_serves(reader: Browser, history: None) -> None:
    text = reader.get(HERE + "?month=2026-04").text

    assert "No model was changed this month." in text
    assert "Nothing was changed this month; this is what serves you." in text


def test_each_figure_stands_beside_that_of_the_month_before(in_acorn: Client) -> None:
    pipeline = factories.make_pipeline(in_acorn)
    for day in range(12):
        version = factories.make_production(pipeline, factories.NOW + timedelta(days=day)).model_version
        version.promoted_at = factories.NOW + timedelta(days=24 + day)  # Five in March, seven in April.
        version.save()

    report = client_report(in_acorn, datetime(2026, 4, 20, tzinfo=UTC))

    live = next(figure for figure in report.figures if figure.name == "new versions in service")
    assert (live.value, live.before, live.change) == (7, 5, 2)


@pytest.mark.parametrize(
    ("text", "month"),
    [("2026-02", "2026-02"), ("2026-12", "2026-03"), ("2026-13", "2026-03"), ("x", "2026-03"), ("", "2026-03")],
)
def test_a_month_that_cannot_be_is_the_one_that_has_begun(text: str, month: str) -> None:
    assert str(read_month(text, factories.NOW, ZoneInfo("UTC"))) == month


def test_a_month_begins_and_ends_at_the_clients_midnight() -> None:
    march = Month(2026, 3, ZoneInfo("Europe/Madrid"))

    assert march.begin.astimezone(UTC) == datetime(2026, 2, 28, 23, tzinfo=UTC)
    assert march.end.astimezone(UTC) == datetime(2026, 3, 31, 22, tzinfo=UTC)  # Summer time has begun.
    assert str(march.previous.previous.previous) == "2025-12" and str(march.next) == "2026-04"


def test_nothing_in_it_can_be_ordered(reader: Browser, history: None) -> None:
    text = reader.get(HERE).text

    assert text.count("<form") == 1 and reverse("logout") in text
    assert "/c/acorn" not in text


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_no_method_changes_anything(reader: Browser, history: None, method: str) -> None:
    assert getattr(reader, method)(HERE).status_code == 405


def test_it_is_kept_nowhere(reader: Browser, history: None) -> None:
    response = reader.get(HERE)

    assert response["Cache-Control"] == "no-store" and "noindex" in response["X-Robots-Tag"]


def test_a_client_without_a_model_is_told_so(reader: Browser) -> None:
    assert "No model has been set up for you yet." in reader.get(HERE).text


def test_a_pipeline_without_a_first_version_is_named(reader: Browser, acorn: Client) -> None:
    factories.make_pipeline(acorn, "letters")

    assert "Still without a first version: Letters." in reader.get(HERE).text


def test_several_models_lead_each_to_its_own_page(reader: Browser, history: None, acorn: Client) -> None:
    factories.make_production(factories.make_pipeline(acorn, "letters"))

    text = reader.get(HERE + MARCH).text

    assert reverse("pipeline-report", args=["acorn", "letters"]) + MARCH in text
    assert "Letters" not in reader.get(reverse("pipeline-report", args=["acorn", "support"]) + MARCH).text


def test_staff_read_the_same_report_with_a_way_back(viewer: Browser, history: None) -> None:
    assert reverse("client", args=["acorn"]) in viewer.get(HERE).text


def test_a_judge_that_was_allowed_is_named_where_the_data_went(reader: Browser, history: None, acorn: Client) -> None:
    assert "Nobody outside was shown any of it." in reader.get(HERE + MARCH).text

    with factories.inside(acorn):
        fields = {"name": "wise", "kind": "ollama", "url": "http://127.0.0.1:9", "model": "wise", "key_name": ""}
        allow_judge(acorn, fields, "tests", factories.NOW)

    assert "the judge model that you allowed: wise" in reader.get(HERE + MARCH).text


def test_the_pipelines_own_settings_say_what_is_kept(reader: Browser, acorn: Client) -> None:
    pipeline = factories.make_pipeline(acorn, bodies={"keep": True, "days": 9})

    assert "is kept for 9 days, without personal data" in reader.get(HERE).text
    with factories.inside(pipeline):
        actions.change_settings(pipeline, factories.settings_body(), "tests", factories.NOW)
    assert "in use is not kept" in reader.get(HERE).text
