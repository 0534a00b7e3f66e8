"""A bad answer is traced to its version, host and training rows, and becomes a case that must never break again."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.test import Client as Browser
from django.urls import reverse

from pipelines import actions
from pipelines.models import Body, Example, Exchange, ModelVersion
from tenants.models import Client, EvalCase, Pipeline
from tests import factories

HERE = ["acorn", "support"]
PAGE = reverse("complaint", args=HERE)
ROWS = [("My parcel has not come for two weeks", "delivery"), ("I was charged twice this month", "billing")]


@pytest.fixture
def support(acorn: Client) -> Pipeline:
    pipeline = factories.make_pipeline(acorn)
    factories.make_production(pipeline)
    lines = [json.dumps({"input": asked, "output": label}).encode() for asked, label in ROWS]
    with factories.inside(pipeline):
        version = ModelVersion.objects.get(number=1)
        actions.add_examples(pipeline, lines, token="t", actor="tests", now=factories.NOW)
        Example.objects.update(dataset=version.dataset)
        keep(version, "req-1", 'My "parcel" from Düsseldorf has not come', "billing")
        keep(version, "req-2", "Where is the invoice?", "billing", minutes=5)
    return pipeline


def keep(version: ModelVersion, request_id: str, asked: str, answered: str, minutes: int = 0) -> Exchange:
    at = factories.NOW + timedelta(minutes=minutes)
    fields = {"version": version, "request_id": request_id, "at": at, "finished_at": at, "latency_ms": 12.5}
    row = Exchange.of(version, pipeline_id=version.pipeline_id, host="shop", arm="candidate", status=200, **fields)
    row.save()
    request = json.dumps({"messages": [{"role": "user", "content": asked}]}, ensure_ascii=False)
    kept = {"request": request, "answer": answered, "prompt_digest": request_id, "at": at}
    Body.of(row, pipeline_id=version.pipeline_id, exchange=row, **kept).save()
    return row


@pytest.mark.parametrize("said", ["req-1", 'My "parcel" from Düsseldorf', "  from düsseldorf has "])
def test_an_id_or_words_find_who_said_it_and_what_taught_it(viewer: Browser, support: Pipeline, said: str) -> None:
    shown = viewer.get(PAGE, {"q": said})

    assert shown.context["picked"].exchange.request_id == "req-1"
    assert "shop" in shown.text and "candidate" in shown.text and "Düsseldorf" in shown.text
    assert shown.context["near"][0].question == ROWS[0][0]
    assert "Add to the regression set" not in shown.text, "a viewer looks"


def test_where_the_question_was_not_kept_nothing_is_said_of_what_taught_it(viewer: Browser, support: Pipeline) -> None:
    with factories.inside(support):
        Body.objects.all().delete()

    shown = viewer.get(PAGE, {"q": "req-1"})

    assert shown.context["picked"].exchange.request_id == "req-1"
    assert "Paste its words above" in shown.text and "No training row comes near" not in shown.text


def test_several_answers_are_offered_the_newest_first(viewer: Browser, support: Pipeline) -> None:
    several = viewer.get(PAGE, {"q": "billing"})
    chosen = viewer.get(PAGE, {"q": "billing", "request": "req-1"})

    assert [one.exchange.request_id for one in several.context["found"]] == ["req-2", "req-1"]
    assert several.context["picked"] is None and "Which one?" in several.text
    assert chosen.context["picked"].exchange.request_id == "req-1"


def test_it_becomes_a_regression_case_in_one_click(engineer: Browser, support: Pipeline) -> None:
    with factories.inside(support):
        actions.give_feedback(
            support.client, "req-1", actor="app", now=factories.NOW, is_good=False, correct_answer="delivery"
        )
    form = engineer.get(PAGE, {"q": "req-1"}).context["form"]
    sent = {name: form[name].value() or "" for name in form.fields} | {"base": form.base}

    page = engineer.post(reverse("eval-case", args=[*HERE, "regression"]), sent, follow=True)

    assert page.status_code == 200
    with factories.inside(support):
        case = EvalCase.objects.get(eval_set__kind="regression")
        assert (case.key, case.origin) == ("complaint-req-1", "a complaint about request req-1")
        assert case.messages == [{"role": "user", "content": 'My "parcel" from Düsseldorf has not come'}]
        assert case.expected["label"] == "delivery"


def test_unknown_words_are_taken_for_a_question_to_production(viewer: Browser, support: Pipeline) -> None:
    shown = viewer.get(PAGE, {"q": "charged twice for one parcel"})

    assert "No kept answer has this" in shown.text
    assert {near.question for near in shown.context["near"]} == {asked for asked, _label in ROWS}
    assert viewer.get(PAGE, {"q": "   "}).context["form"] is None


def test_another_clients_answers_are_not_found(viewer: Browser, support: Pipeline, birch: Client) -> None:
    factories.make_production(factories.make_pipeline(birch))

    assert not viewer.get(reverse("complaint", args=["birch", "support"]), {"q": "req-1"}).context["found"]
