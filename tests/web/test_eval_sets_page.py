"""Evaluation sets on pages: uploaded, looked at, changed case by case, suggested, begun from a starter set."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client as Browser
from django.urls import reverse

from pipelines import actions
from pipelines.artifacts import store_of
from pipelines.models import Scorecard
from tenants import actions as tenant_actions
from tenants.models import Client, EvalSet, Pipeline
from tests import factories

HERE = ("acorn", "support")
ANSWERS = ("billing", "delivery", "returns")


def case(key: str, label: str = "billing", **more: Any) -> dict[str, Any]:
    said = [{"role": "user", "content": f"Question {key}?"}]
    return {"id": key, "messages": said, "check": "label", "expected": {"label": label}} | more


def nested(levels: int) -> dict[str, Any]:
    return {"in": nested(levels - 1)} if levels else {}


@pytest.fixture
def support(acorn: Client) -> Pipeline:
    return factories.make_pipeline(acorn)


def put(pipeline: Pipeline, kind: str, *cases: dict[str, Any]) -> EvalSet:
    with factories.inside(pipeline):
        return actions.put_set(pipeline, kind, cases, actor="tests", note="", now=factories.NOW)


def keys(pipeline: Pipeline, kind: str) -> list[str]:
    with factories.inside(pipeline):
        made = EvalSet.objects.filter(kind=kind).order_by("-version").first()
        return list(made.cases.order_by("id").values_list("key", flat=True)) if made else []


def upload(browser: Browser, name: str, body: str, kind: str = "heldout") -> Any:
    file = SimpleUploadedFile(name, body.encode())
    return browser.post(reverse("upload-set", args=HERE), {"kind": kind, "file": file}, follow=True)


def test_a_spreadsheet_of_cases_is_taken_by_its_columns(engineer: Browser, support: Pipeline) -> None:
    response = upload(engineer, "may.csv", 'id,input,expected\nc1,"Where, oh where?",delivery\n,Pay?,billing\n')

    assert response.status_code == 200 and keys(support, "heldout") == ["c1", "line-3"]
    with factories.inside(support):
        first = EvalSet.objects.get().cases.get(key="c1")
    assert first.messages == [{"role": "user", "content": "Where, oh where?"}]
    assert first.expected == {"label": "delivery", "labels": list(factories.LABELS)}


@pytest.mark.parametrize(
    ("name", "body", "sentence"),
    [
        ("a.csv", "input,answer\nx,y\n", "expected is not among them"),
        ("a.csv", "input,expected,check\nx,(a+)+$,vibes\n", "no metric &#x27;vibes&#x27;"),
        ("a.jsonl", json.dumps(case("c", check="regex", expected={"pattern": "(?=a)"})), "no look-ahead"),
        ("a.jsonl", json.dumps(case("c", check="json_schema", expected={"schema": {"$ref": "http://x"}})), "Only ref"),
        ("a.jsonl", json.dumps(case("c", check="label", expected={"label": "x", "labels": ["y"]})), "not among"),
        ("a.jsonl", json.dumps(case("c", expected={"label": "lost"})), "no label of this pipeline (billing"),
        ("a.csv", "input,expected\nx,lost\n", "not among"),
        ("a.jsonl", "no json", "Line 1: is not JSON"),
        ("a.jsonl", json.dumps(case("a\nb")), "Line 1: an id holds no control characters"),
        ("a.jsonl", "[" * 50_000, "nested too deeply"),
        ("a.jsonl", '{"id": "\\u0000"}', "NUL"),
        ("a.jsonl", json.dumps(case("c", check="json_fields", expected={"fields": {"a": float("nan")}})), "Line 1: h"),
        ("a.csv", 'input,expected,check\nx,"{""a"": [-1e999]}",json_fields\n', "Line 2: holds NaN or infinity"),
        ("a.jsonl", "x" * 1_000_001, "longer than 1 MB"),
        ("a.jsonl", json.dumps(case("c") | {"messages": [{"role": "user", "content": "\ud800"}]}), "cannot be stored"),
        ("a.jsonl", json.dumps(case("c", expected={"label": "billing", "\udfff": 1})), "cannot be stored"),
        ("a.jsonl", json.dumps(case("c", expected={"fields": nested(200)}, check="json_fields")), "50 levels deep"),
        ("a.jsonl", json.dumps(case("c", check="contains", expected={"any": []})), "none of them is empty"),
        ("a.jsonl", json.dumps(case("c", check="one_of", expected={"labels": "billing"})), "is a list with at least"),
        ("a.csv", '"input\n' + "x\n" * 600_000, "field larger than"),
    ],
)
def test_a_file_that_cannot_be_judged_by_is_refused_whole(
    engineer: Browser, support: Pipeline, name: str, body: str, sentence: str
) -> None:
    response = upload(engineer, name, body)

    assert response.status_code == 422 and sentence in response.text
    assert keys(support, "heldout") == []


def test_a_file_in_another_encoding_is_refused_with_what_to_do(engineer: Browser, support: Pipeline) -> None:
    file = SimpleUploadedFile("a.csv", "input,expected\n¿Dónde?,delivery\n".encode("cp1252"))

    response = engineer.post(reverse("upload-set", args=HERE), {"kind": "heldout", "file": file})

    assert "Line 2: is no UTF-8. Save the file as UTF-8" in response.text


def test_a_set_in_utf_16_is_refused_by_that_name(engineer: Browser, support: Pipeline) -> None:
    file = SimpleUploadedFile("a.jsonl", json.dumps(case("c")).encode("utf-16"))

    response = engineer.post(reverse("upload-set", args=HERE), {"kind": "heldout", "file": file})

    assert "The file is UTF-16. Save it as UTF-8" in response.text


@pytest.mark.parametrize("content", ["\\u0000", "\\ud800"])
def test_a_case_that_is_written_by_hand_holds_only_what_can_be_stored(
    engineer: Browser, support: Pipeline, content: str
) -> None:
    said = f'[{{"role": "user", "content": "odd {content}"}}]'
    form = {"id": "c1", "system": "", "input": said, "check": "label", "expected": "billing", "base": "0"}

    response = engineer.post(reverse("eval-case", args=[*HERE, "regression"]), form)

    assert response.status_code == 422 and "cannot be stored" in response.text


def test_a_set_that_holds_an_older_odd_id_can_still_be_changed(engineer: Browser, support: Pipeline) -> None:
    with factories.inside(support):
        tenant_actions.put_eval_set(support, "heldout", [case("a\nb")], "tests", factories.NOW)

    put(support, "heldout", case("a\nb"), case("c2"))

    assert keys(support, "heldout") == ["a\nb", "c2"]


def test_prompts_that_are_timed_need_no_check(engineer: Browser, support: Pipeline) -> None:
    upload(engineer, "a.jsonl", json.dumps({"id": "p", "messages": case("p")["messages"]}), kind="latency")

    assert keys(support, "latency") == ["p"]


def test_a_case_is_written_changed_and_taken_out_each_time_as_a_new_version(
    engineer: Browser, support: Pipeline
) -> None:
    form = {"id": "c1", "system": "Sort.", "input": "My card?", "check": "label", "expected": "billing", "base": "0"}
    there = reverse("eval-case", args=[*HERE, "regression"])
    engineer.post(there, form)
    engineer.post(f"{there}?case=c1", form | {"input": "My bank card?", "base": "1", "note": "as customers say it"})

    text = engineer.get(reverse("eval-set", args=[*HERE, "regression"])).text
    assert "My bank card?" in text and "as customers say it" in text and "v2" in text

    page = reverse("eval-set", args=[*HERE, "regression"])
    engineer.post(page, {"case": ["c1"], "act": "remove", "base": "2"})
    assert keys(support, "regression") == []
    assert "answers inconclusive, never passed" in engineer.get(page).text

    engineer.post(f"{page}?version=1", {"act": "restore"})
    assert keys(support, "regression") == ["c1"]


def test_a_change_made_on_an_old_page_is_refused(engineer: Browser, support: Pipeline) -> None:
    put(support, "safety", case("a"), case("b"))
    put(support, "safety", case("a"), case("b"), case("c"))

    response = engineer.post(reverse("eval-set", args=[*HERE, "safety"]), {"case": ["a"], "act": "remove", "base": "1"})

    assert response.status_code == 422 and "Somebody changed this set meanwhile" in response.text
    assert keys(support, "safety") == ["a", "b", "c"]


def test_a_case_that_cannot_be_judged_keeps_what_was_typed(engineer: Browser, support: Pipeline) -> None:
    form = {"id": "c1", "input": "Hi?", "check": "regex", "expected": '{"pattern": "(a)\\\\1"}', "base": "0"}

    response = engineer.post(reverse("eval-case", args=[*HERE, "safety"]), form)

    assert response.status_code == 422 and "no back-references" in response.text and "Hi?" in response.text
    assert keys(support, "safety") == []


def test_the_cases_are_searched_in_question_and_answer(viewer: Browser, support: Pipeline) -> None:
    put(support, "heldout", case("a", "billing"), case("b", "delivery"), case("ñ", "returns"))
    page = reverse("eval-set", args=[*HERE, "heldout"])

    assert [c.key for c in viewer.get(page, {"q": "delivery"}).context["page"]] == ["b"]
    assert [c.key for c in viewer.get(page, {"q": "Question ñ"}).context["page"]] == ["ñ"]


@pytest.mark.parametrize("language", ["en", "es"])
def test_a_starter_set_holds_a_classifier_to_its_labels(engineer: Browser, support: Pipeline, language: str) -> None:
    put(support, "safety", case("own"))

    engineer.post(reverse("eval-starter", args=HERE), {"language": language, "base": "1"})

    with factories.inside(support):
        made = EvalSet.objects.get(kind="safety", version=2)
        cases = list(made.cases.order_by("id"))
    assert len(cases) == 41 and cases[0].key == "own"
    assert {c.check_name for c in cases[1:]} == {"one_of"} and cases[1].expected == {"labels": list(factories.LABELS)}


def measured(pipeline: Pipeline, wrong: tuple[str, ...] = ()) -> None:
    """A retrain with its answers to the held-out set, each right but the named ones."""
    run = factories.make_run(pipeline, at="deploy", status="rejected")
    with factories.inside(pipeline):
        card = Scorecard.objects.get(run=run)
        cases = EvalSet.objects.get(kind="heldout").cases.order_by("id")
        arms = ("candidate", "production") if card.production_id else ("candidate",)
        rows = [
            {"set": "heldout", "id": c.key, "arm": arm, "score": float(arm == "production" or c.key not in wrong)}
            for c in cases
            for arm in arms
        ]
        card.answers_digest = store_of(pipeline.client_id).put_lines(json.dumps(row).encode() for row in rows)
        card.cases = {"heldout": {"n": len(rows)}, "set_versions": {"heldout": 1}}
        card.save()


def test_only_cases_that_production_and_three_retrains_got_right_are_suggested(
    engineer: Browser, support: Pipeline
) -> None:
    put(support, "heldout", *[case(f"c{n:03}", ANSWERS[n % 3]) for n in range(60)])
    factories.make_production(support)
    for wrong in ((), (), ("c001",), ()):
        measured(support, wrong)

    page = engineer.get(reverse("eval-promote", args=HERE), {"size": "50"})

    suggested = {page.context["found"].cases[key].key for key in page.context["suggested"]}
    assert len(suggested) == 50 and "c001" not in suggested
    groups = [one.group for one in page.context["found"].histories if one.key in page.context["suggested"]]
    assert sorted(groups.count(name) for name in ANSWERS) == [16, 17, 17]
    assert page.context["found"].flips.flips == 1 and "of a retrain that was left out" in page.text

    engineer.post(reverse("eval-promote", args=HERE), {"case": list(page.context["suggested"]), "base": "0"})

    assert sorted(keys(support, "regression")) == sorted(f"heldout-{key}" for key in suggested)
    again = engineer.get(reverse("eval-promote", args=HERE))
    assert len(again.context["found"].histories) == 10


def test_without_three_retrains_nothing_is_suggested_and_the_page_says_what_to_do(
    engineer: Browser, support: Pipeline
) -> None:
    put(support, "heldout", *[case(f"c{n}") for n in range(5)])
    factories.make_production(support)
    measured(support)

    page = engineer.get(reverse("eval-promote", args=HERE))

    assert page.context["suggested"] == set() and "A retrain with another seed" in page.text


def test_taking_a_shaky_case_out_shows_in_what_the_set_costs(engineer: Browser, support: Pipeline) -> None:
    put(support, "regression", case("a"), case("b"))
    put(support, "heldout", case("h"))
    measured(support)
    with factories.inside(support):
        failed = {"regression": {"n": 2, "failed": {"candidate": ["b"]}, "flaky": {"candidate": []}}}
        Scorecard.objects.update(cases=failed)
    page, here = reverse("eval-sets", args=HERE), reverse("eval-set", args=[*HERE, "regression"])

    assert {line.kind: line.block_rate for line in engineer.get(page).context["lines"]}[
        "regression"
    ] == 0.75  # 1.5 of 3.
    assert "1 retrain that was not worse failed it" in engineer.get(here).text

    engineer.post(here, {"case": ["b"], "act": "remove", "base": "1"})
    assert {line.kind: line.block_rate for line in engineer.get(page).context["lines"]}["regression"] == pytest.approx(
        0.5 / 3  # Half a failure more than was seen: none of two does not mean never.
    )
