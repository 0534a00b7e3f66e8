"""A pipeline's page: uploads, evaluation sets, a start by hand, and a new pipeline."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client as Browser
from django.urls import reverse

from pipelines.models import Batch, Example, Rollback, Run, TriggerDecision
from tenants.models import Client, EvalSet, Pipeline
from tests import factories

HERE = ["acorn", "support"]
GOOD = b'{"input": "Where is my parcel?", "output": "delivery"}\n'
CASE = {
    "id": "c1",
    "messages": [{"role": "user", "content": "Hello?"}],
    "check": "label",
    "expected": {"label": "billing"},
}


@pytest.fixture
def support(acorn: Client) -> Pipeline:
    return factories.make_pipeline(acorn)


def ndjson(body: bytes, name: str = "rows.ndjson") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, body, "application/x-ndjson")


def test_malformed_rows_are_kept_aside_and_the_rest_counts(engineer: Browser, support: Pipeline) -> None:
    response = engineer.post(reverse("upload", args=HERE), {"file": ndjson(GOOD + b"not json\n")}, follow=True)

    assert "2 rows read, 1 of them in quarantine." in response.text
    assert engineer.get(reverse("pipeline", args=HERE)).context["page"].data.new == 1


def test_the_same_file_twice_is_one_batch(engineer: Browser, support: Pipeline) -> None:
    for name in ("first.ndjson", "again.ndjson"):
        engineer.post(reverse("upload", args=HERE), {"file": ndjson(GOOD, name)})

    with factories.inside(support):
        assert Batch.objects.count() == 1 and Example.objects.count() == 1


def test_an_evaluation_set_is_taken_case_by_case(engineer: Browser, support: Pipeline) -> None:
    body = json.dumps(CASE).encode()

    engineer.post(reverse("upload-set", args=HERE), {"kind": "heldout", "file": ndjson(body)})

    with factories.inside(support):
        assert EvalSet.objects.get().cases.get().key == "c1"


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ([CASE, CASE], "Two cases have the id"),
        ([CASE, CASE | {"id": "c2", "check": "guess"}], "Line 2: There is no metric"),
        ([{"id": "c1", "check": "label"}], "Line 1: &#x27;messages&#x27; is missing"),
        ([CASE | {"messages": [{"role": "system", "content": "x"}]}], "Line 1: nobody asks anything"),
        ([CASE | {"messages": "Hello"}], "Line 1:"),
        ([[]], "Line 1:"),
    ],
)
def test_a_broken_set_is_refused_with_its_line(
    engineer: Browser, support: Pipeline, lines: list[object], sentence: str
) -> None:
    body = "\n".join(json.dumps(line) for line in lines).encode()

    response = engineer.post(reverse("upload-set", args=HERE), {"kind": "heldout", "file": ndjson(body)})

    assert response.status_code == 422 and sentence in response.text
    with factories.inside(support):
        assert not EvalSet.objects.exists()


def test_a_second_run_is_refused_with_a_sentence_and_keeps_the_reason(engineer: Browser, support: Pipeline) -> None:
    factories.make_run(support)

    response = engineer.post(reverse("start-run", args=HERE), {"reason": "because of the new catalogue"})

    assert response.status_code == 422
    assert "Run 1 is still live" in response.text and "because of the new catalogue" in response.text


def test_a_run_by_hand_keeps_who_and_why(engineer: Browser, support: Pipeline) -> None:
    engineer.post(reverse("start-run", args=HERE), {"reason": "the new catalogue"})

    with factories.inside(support):
        occasion = Run.objects.get().occasion
    assert occasion["by"] == "engineer@north.example" and occasion["reason"] == "the new catalogue"


def test_the_ledger_says_why_nothing_started_and_when_it_can(viewer: Browser, support: Pipeline) -> None:
    with factories.inside(support):
        fields = {"at": factories.NOW, "reason": "212 of 500 new examples", "started": False}
        TriggerDecision.of(
            support, pipeline=support, next_eligible_at=factories.NOW + timedelta(days=1), **fields
        ).save()

    text = viewer.get(reverse("pipeline", args=HERE)).text

    assert "212 of 500 new examples" in text and "4 Mar 2026" in text


def test_the_next_five_times_are_in_the_clients_zone(viewer: Browser, acorn: Client) -> None:
    madrid = factories.make_client(acorn.agency, "madrid", "Europe/Madrid")
    factories.make_pipeline(madrid, triggers={"schedule": {"rule": "FREQ=MONTHLY;BYDAY=+1TU", "at": "04:00"}})

    response = viewer.get(reverse("pipeline", args=["madrid", "support"]))

    assert "First Tuesday of each month, 04:00, Europe/Madrid" in response.text
    assert len(response.context["page"].next_times) == 5 and response.text.count("04:00 CE") == 5


@pytest.mark.parametrize(
    ("preset", "more", "metric"),
    [
        ("classification", {"labels": "billing\ndelivery"}, "accuracy"),
        ("extraction", {"fields_": "order\ndate"}, "json_fields"),
        ("writing", {}, "rougeL"),
    ],
)
def test_each_preset_makes_a_pipeline_that_works(
    engineer: Browser, acorn: Client, preset: str, more: dict[str, str], metric: str
) -> None:
    given = {
        "name": "Letters",
        "slug": "letters",
        "preset": preset,
        "base": "tiny",
        "recipients": "team@north.example",
    } | more

    response = engineer.post(reverse("new-pipeline", args=["acorn"]), given)

    assert response.status_code == 303
    with factories.inside(acorn):
        settings = Pipeline.objects.select_related("revision").get(slug="letters").settings
    assert settings.criteria.metrics[0] == metric and settings.gates[0].metric == metric


def test_a_classification_without_labels_is_refused_beside_them(engineer: Browser, acorn: Client) -> None:
    given = {"name": "Letters", "slug": "letters", "preset": "classification", "base": "tiny"}

    response = engineer.post(reverse("new-pipeline", args=["acorn"]), given)

    assert response.status_code == 422
    assert "needs its labels" in str(response.context["form"].errors["labels"])
    with factories.inside(acorn):
        assert not Pipeline.objects.exists()


def test_a_pipeline_is_not_called_like_a_page_of_its_client(engineer: Browser, acorn: Client) -> None:
    given = {"name": "Ledger", "slug": "ledger", "preset": "writing", "base": "tiny"}

    response = engineer.post(reverse("new-pipeline", args=["acorn"]), given)

    assert response.status_code == 422
    assert "a word of the product itself" in str(response.context["form"].errors["slug"])


def test_a_pause_is_shown_with_who_and_why_and_ends_by_its_button(
    engineer: Browser, viewer: Browser, support: Pipeline
) -> None:
    paused = engineer.post(reverse("pause", args=HERE), {"reason": "new <b>catalogue</b>"}, follow=True)

    assert "Paused by engineer@north.example" in paused.text and "new &lt;b&gt;catalogue" in paused.text
    for page in (viewer.get("/"), viewer.get(reverse("client", args=["acorn"]))):
        assert "paused" in page.text
    assert reverse("resume", args=HERE) not in viewer.get(reverse("pipeline", args=HERE)).text

    resumed = engineer.post(reverse("resume", args=HERE), {"reason": "it is here"}, follow=True)

    assert "Paused by" not in resumed.text and reverse("pause", args=HERE) in resumed.text


def test_a_start_while_paused_is_refused_with_the_way_out(engineer: Browser, support: Pipeline) -> None:
    engineer.post(reverse("pause", args=HERE), {"reason": "audit"})

    response = engineer.post(reverse("start-run", args=HERE), {"reason": "because of the new catalogue"})

    assert response.status_code == 422 and "because of the new catalogue" in response.text
    assert "paused by engineer@north.example: audit. Resume it on its page" in response.text


def test_a_pause_without_a_reason_is_refused(engineer: Browser, support: Pipeline) -> None:
    assert engineer.post(reverse("pause", args=HERE), {"reason": " "}).status_code == 422
    with factories.inside(support):
        assert not Pipeline.objects.get().is_paused


def test_a_version_that_traffic_went_back_to_answers_since_then(viewer: Browser, acorn: Client) -> None:
    pipeline = factories.make_pipeline(acorn)
    run = factories.make_production(pipeline)
    later = factories.NOW + timedelta(days=3)
    assert viewer.get(reverse("pipeline", args=["acorn", "support"])).context["page"].since == factories.NOW
    with factories.inside(acorn):
        versions = {"from_version": run.model_version, "to_version": run.model_version}
        told = {"phase": "person", "metric": "", "sentence": "", "decided_by": "tests", "decided_at": later}
        ordered = Rollback.of(pipeline, pipeline=pipeline, **versions, **told)
        ordered.save()
    assert viewer.get(reverse("pipeline", args=["acorn", "support"])).context["page"].since == factories.NOW
    with factories.inside(acorn):
        Rollback.objects.filter(pk=ordered.pk).update(flipped_at=later)

    assert viewer.get(reverse("pipeline", args=["acorn", "support"])).context["page"].since == later
