"""A client's report of a month: what its own people read, and what they never see."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.template.loader import render_to_string
from django.test import Client as Browser
from django.urls import reverse
from django.utils import timezone
from django.utils.html import strip_tags

from agency.mail.digest import digest_of
from pipelines.models import ModelVersion, PipelineState, Rollback, Scorecard, Traffic
from pipelines.reports.client import Month, client_report, read_month
from pipelines.reports.value import work_of
from tenants import actions
from tenants.judges import allow_judge
from tenants.models import Client, Role, User
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


def test_a_reader_of_several_clients_reaches_each_report(acorn: Client, birch: Client, reader: Browser) -> None:
    factories.make_member(birch.agency, Role.READER, birch, "reader@north.example")

    start = reader.get("/")

    for path in (HERE, reverse("report", args=["birch"])):
        assert f'href="{path}"' in start.text
        assert f'href="{reverse("overview")}"' in reader.get(path).text
    assert "Retune" not in start.text.partition("<main")[2]


def test_a_reader_of_one_client_starts_at_its_report(reader: Browser, acorn: Client) -> None:
    assert reader.get("/")["Location"] == HERE
    assert f'href="{reverse("overview")}"' not in reader.get(HERE).text


def test_who_works_for_one_client_and_reads_anothers_report_starts_with_both(
    acorn: Client, birch: Client, reader: Browser
) -> None:
    factories.make_member(birch.agency, Role.ENGINEER, birch, "reader@north.example")

    start = reader.get("/").text

    assert f'href="{HERE}"' in start and f'href="{reverse("client", args=["birch"])}"' in start


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


def shipped(client: Client, *days: int) -> list[ModelVersion]:
    """Versions of a pipeline by the days of their promotions, counted from March 1."""
    pipeline = factories.make_pipeline(client)
    return [factories.make_production(pipeline, on(day)).model_version for day in days]


def on(day: int) -> datetime:
    return datetime(2026, 3, 1, 12, tzinfo=UTC) + timedelta(days=day - 1)


def back(gone: ModelVersion, to: ModelVersion, day: int) -> None:
    """All traffic from one version to another; `to` is in production from then on."""
    said = {"phase": "person", "metric": "decision", "sentence": "taken back", "decided_by": "owner@north.example"}
    times = {"decided_at": on(day), "flipped_at": on(day)}
    Rollback.of(gone, pipeline=gone.pipeline, from_version=gone, to_version=to, **said, **times).save()
    PipelineState.objects.filter(pipeline=gone.pipeline).update(production=to)


def told(client: Client, month: str) -> tuple[list[str], str]:
    """(a line for each version: what its card says of when, the second and third sentence), as an April 20 reads it."""
    now = on(51)
    report = client_report(client, now, read_month(month, now, ZoneInfo("UTC")))
    with timezone.override("UTC"):
        given = {"report": report, "p": report.pipelines[0]}
        pages = [render_to_string(f"reports/_{name}.html", given) for name in ("changes", "problems")]
    cards = [" ".join(strip_tags(found).split()) for found in re.findall(r'<p class="mb-2">(.*?)</p>', pages[0])]
    said = [strip_tags(found) for found in re.findall(r'<p class="mb-1">(.*?)</p>', pages[1], re.S)]
    return cards, " ".join([*report.sentences()[1:], *said])


def test_a_version_that_came_after_a_rollback_is_not_contradicted_by_it(in_acorn: Client) -> None:
    first, second, third = shipped(in_acorn, -20, 1, 10)
    back(second, first, 3)
    PipelineState.objects.update(production=third)

    cards, said = told(in_acorn, "2026-03")

    assert [card.partition(". ")[0] for card in cards] == [
        "v3 production in service since Tue 10 Mar 2026, 12:00 UTC",
        "v2 went into service on Sun 1 Mar 2026, 12:00 UTC and was taken back on Tue 3 Mar 2026, 12:00 UTC",
    ]
    assert "From then on v1 answered everything again." in said and "has answered since" not in said


def test_a_version_that_was_taken_back_at_once_does_not_hide_the_one_that_serves(in_acorn: Client) -> None:
    first, second = shipped(in_acorn, -20, 3)
    back(second, first, 4)

    cards, _said = told(in_acorn, "2026-03")

    assert cards[0].startswith(
        "v1 production in service since Wed 4 Mar 2026, 12:00 UTC. It is the version from before"
    )
    assert cards[1].startswith("v2 went into service on Tue 3 Mar 2026, 12:00 UTC and was taken back on Wed 4 Mar")


def test_a_version_of_an_earlier_month_that_was_taken_back_is_a_change(in_acorn: Client) -> None:
    first, second = shipped(in_acorn, -20, 3)
    back(second, first, 40)

    march, april = told(in_acorn, "2026-03"), told(in_acorn, "2026-04")

    assert march[0] == [
        "v2 in service since Tue 3 Mar 2026, 12:00 UTC. The model was trained again with your newest examples."
    ]
    assert april[0] == [
        "v1 production in service since Thu 9 Apr 2026, 12:00 UTC. It is the version from before, and answers again."
    ]
    assert april[1].startswith("No new version went live this month. 1 version was taken back")


def test_a_canary_that_was_taken_back_leaves_the_date_of_what_served_beside_it(in_acorn: Client) -> None:
    [first] = shipped(in_acorn, -20)
    candidate = factories.make_run(first.pipeline, at="deploy").model_version
    back(candidate, first, 5)

    cards, _said = told(in_acorn, "2026-03")

    assert cards == [
        "v1 production in service since Sun 8 Feb 2026, 12:00 UTC."
        " Nothing was changed this month; this is what serves you."
    ]


def card_of(client: Client, version: ModelVersion) -> tuple[str, str, str]:
    """(what was done, learnt from, what changed in the month) of a version that went live in March."""
    report = client_report(client, on(25), read_month("2026-03", on(25), ZoneInfo("UTC")))
    [change] = [one for one in report.pipelines[0].changes if one.version == version]
    page = render_to_string("reports/_changes.html", {"report": report, "p": report.pipelines[0]})
    learnt = re.findall(r"Learnt from</dt><dd>(.*?)</dd>", page)[report.pipelines[0].changes.index(change)]
    return change.what, learnt, report.sentences()[1]


def kept(version: ModelVersion, **fields: object) -> ModelVersion:
    for name, value in fields.items():
        setattr(version, name, value)
    version.save()
    return version


def test_a_model_that_was_brought_learnt_from_no_example_of_the_clients(in_acorn: Client) -> None:
    first, second = (kept(version, dataset=None) for version in shipped(in_acorn, 1, 5))
    Scorecard.objects.filter(version=first).update(production=None)
    Scorecard.objects.filter(version=second).update(production=first)
    elsewhere = "Trained elsewhere and brought by your agency"

    assert card_of(in_acorn, first)[:2] == ("It is your first model here.", elsewhere)
    assert card_of(in_acorn, second)[:2] == ("It takes the place of the model before it.", elsewhere)


def test_a_model_that_was_taken_over_passed_no_test(in_acorn: Client) -> None:
    [version] = shipped(in_acorn, 1)
    Scorecard.objects.filter(version=version).delete()
    kept(version, dataset=None, card={"adopted": {"host": "shop"}})

    assert card_of(in_acorn, version) == (
        "It answered you already; your agency took it over as it was.",
        "Trained elsewhere and brought by your agency",
        "No model was changed this month.",
    )
    assert work_of(in_acorn, read_month("2026-03", on(25), ZoneInfo("UTC"))).promoted == 0


def test_new_instructions_teach_nothing_new(in_acorn: Client) -> None:
    first, second = shipped(in_acorn, 1, 5)
    kept(second, parent=first, dataset=first.dataset)

    what, learnt, changed = card_of(in_acorn, second)

    assert what == "The instructions of the model were changed; it learnt nothing new."
    assert first.dataset is not None and first.dataset.rows_new > 0
    assert learnt == f"{first.dataset.rows_total} examples of yours, 0 of them new"
    assert changed == "2 new versions went live, after they had passed their tests."


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
