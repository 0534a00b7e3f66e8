"""A new prompt for a version: the page, the API, and what the gateway sends."""

from __future__ import annotations

import orjson
import pytest
from django.test import Client as Browser
from django.urls import reverse

from agency.gateway.asks import native_ask
from agency.gateway.wire import Path
from pipelines.artifacts import store_of
from pipelines.models import ModelVersion, Run
from tenants.models import AuditEvent, Client, Pipeline
from tests import factories
from tests.web.test_api_work import Program


@pytest.fixture
def support(acorn: Client) -> Pipeline:
    """Version 1 in production, its file in the store."""
    pipeline = factories.make_pipeline(acorn)
    factories.make_production(pipeline)
    with factories.inside(pipeline):
        ModelVersion.objects.update(gguf_digest=store_of(acorn.pk).put_bytes(b"version 1"))
    return pipeline


PAGE = reverse("prompt", args=["acorn", "support", 1])


def test_an_engineer_starts_a_prompt_run_and_its_card_says_what_it_is(engineer: Browser, support: Pipeline) -> None:
    assert "Nothing is trained" in engineer.get(PAGE).text

    answer = engineer.post(PAGE, {"system": "Answer in one word.", "stop": "\n", "num_predict": "5", "reason": "short"})

    assert answer.url == reverse("run", args=["acorn", "support", 2])
    with factories.inside(support):
        run = Run.objects.get(number=2)
        assert run.occasion["kind"] == "prompt"
        assert "finetune" not in run.path
        assert AuditEvent.objects.filter(verb="run.start").count() == 1
    card = engineer.get(reverse("version", args=["acorn", "support", 2])).text
    assert "Answer in one word." in card and "nothing was trained" in card
    stages = engineer.get(answer.url).context["page"].stages
    assert {stage.name for stage in stages if stage.state == "off"} == {"validate", "finetune"}


def test_texts_that_end_an_answer_survive_a_form_that_changes_something_else(
    engineer: Browser, support: Pipeline
) -> None:
    stops = ["\n", "\nUser:", "END"]
    with factories.inside(support):
        ModelVersion.objects.update(parameters={"stop": stops})
    shown = engineer.get(PAGE).context["form"]["stop"].value()

    engineer.post(PAGE, {"system": "Answer in one word.", "stop": shown.replace("\n", "\r\n"), "reason": "short"})

    assert shown.split("\n") == ['"\\n"', '"\\nUser:"', "END"]
    with factories.inside(support):
        assert ModelVersion.objects.get(number=2).parameters["stop"] == stops


def test_the_page_says_what_is_wrong_and_keeps_what_was_typed(engineer: Browser, support: Pipeline) -> None:
    answer = engineer.post(PAGE, {"system": "Mine.", "temperature": "0.7", "reason": "warmer"})

    assert answer.status_code == 422
    assert "temperature can only be measured on a host" in answer.text and "Mine." in answer.text


def test_the_api_starts_one_for_production_or_a_named_version(acorn: Client, support: Pipeline) -> None:
    program = Program(acorn)
    path = "/pipelines/support/runs"

    missing = program.post(path, {"reason": "short", "prompt": {"version": 9, "system": "One word."}})
    wrong = program.post(path, {"reason": "short", "prompt": {"parameters": {"num_ctx": 9}}})
    started = program.post(path, {"reason": "short", "prompt": {"system": "One word.", "replaces": True}})

    assert missing.status_code == 404
    assert wrong.status_code == 409 and "Parameter num_ctx" in wrong.json()["error"]["message"]
    assert started.status_code == 201 and started.json()["version"] == "v2"


def test_the_gateway_gives_the_versions_prompt_in_place_of_the_callers() -> None:
    theirs = [{"role": "system", "content": "Theirs."}, {"role": "user", "content": "Hello"}]
    ask = native_ask(Path.CHAT, {"model": "support", "messages": theirs}, "")
    assert orjson.loads(ask.payload("m:v1"))["messages"] == theirs
    sent = orjson.loads(ask.payload("m:v2", "Ours."))["messages"]
    assert sent == [{"role": "system", "content": "Ours."}, theirs[1]]
    assert ask.document["messages"] == theirs
    generate = native_ask(Path.GENERATE, {"model": "support", "prompt": "Hello", "system": "Theirs."}, "")
    assert orjson.loads(generate.payload("m:v2", "Ours."))["system"] == "Ours."
