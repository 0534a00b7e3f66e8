"""Rows that wait for a person: what broke, where, the twin, and what is done with them."""

from __future__ import annotations

import json

import pytest
from django.test import Client as Browser
from django.urls import reverse

from pipelines import actions
from pipelines.models import Body, Example, Exchange, ModelVersion, RowDecision
from tenants.models import AuditEvent, Client, Pipeline
from tests import factories

HERE = reverse("quarantine", args=["acorn", "support"])
REVIEW = reverse("review", args=["acorn", "support"])


def row(said: str) -> bytes:
    return b'{"input": "%s", "output": "billing"}' % said.encode()


@pytest.fixture
def support(acorn: Client) -> Pipeline:
    """One good row, one quarantined as its near duplicate, one malformed."""
    pipeline = factories.make_pipeline(acorn)
    with factories.inside(pipeline):
        lines = [row("Where is my invoice?"), row("Where is my invoice"), b'{"input": 3}']
        actions.add_examples(pipeline, lines, token="t", source="may.ndjson", actor="tests", now=factories.NOW)
        good = Example.objects.get(line=1)
        Example.objects.filter(line=2).update(state="quarantined", rule="near_duplicate", twin=good)
    return pipeline


def pk_of(pipeline: Pipeline, line: int) -> int:
    with factories.inside(pipeline):
        return int(Example.objects.get(line=line).pk)


def test_each_row_shows_its_rule_its_place_and_its_twin(viewer: Browser, support: Pipeline) -> None:
    text = viewer.get(HERE).text

    assert "near duplicate" in text and "may.ndjson" in text
    assert "Where is my invoice?" in text and "Its twin, line 1 of may.ndjson" in text
    assert "/input" in text and "{<mark>&quot;input&quot;</mark>: 3}" in text


def test_the_rules_narrow_the_list_by_address(viewer: Browser, support: Pipeline) -> None:
    page = viewer.get(HERE, {"rule": "near_duplicate", "state": "quarantined"}).context["page"]

    assert [example.line for example in page] == [2]


def test_a_released_row_may_train_again(engineer: Browser, support: Pipeline) -> None:
    response = engineer.post(
        HERE, {"row": [pk_of(support, 2)], "act": "release", "reason": "both are real"}, follow=True
    )

    assert "1 row changed." in response.text
    with factories.inside(support):
        assert Example.objects.get(line=2).state == "ready"


def test_a_malformed_row_stays_and_the_page_says_so(engineer: Browser, support: Pipeline) -> None:
    given = {"row": [pk_of(support, 2), pk_of(support, 3)], "act": "release", "reason": "both are real"}

    response = engineer.post(HERE, given, follow=True)

    assert "1 row changed. 1 stay as they were" in response.text
    with factories.inside(support):
        assert Example.objects.get(line=3).state == "quarantined"


def test_a_discarded_row_leaves_the_list(engineer: Browser, support: Pipeline) -> None:
    engineer.post(HERE, {"row": [pk_of(support, 3)], "act": "discard", "reason": "nobody wrote this"})

    with factories.inside(support):
        assert Example.objects.get(line=3).state == "discarded"


def test_duplicates_and_discarded_rows_are_listed_when_they_are_asked_for(viewer: Browser, support: Pipeline) -> None:
    with factories.inside(support):
        Example.objects.filter(line=2).update(state="duplicate", rule="duplicate")
        Example.objects.filter(line=3).update(state="discarded")

    everything = viewer.get(HERE).context
    duplicates = viewer.get(HERE, {"rule": "duplicate", "state": "duplicate"}).context["page"]

    assert list(everything["page"]) == []
    assert {(state, n) for state, _rule, n in everything["rules"]} == {("discarded", 1), ("duplicate", 1)}
    assert [example.line for example in duplicates] == [2]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"reason": ""}, "required"),
        ({"row": []}, "at least one row"),
        ({"act": "bless"}, "at least one row"),
        ({"row": ["x"]}, "at least one row"),
    ],
)
def test_an_incomplete_order_changes_nothing_and_keeps_the_choice(
    engineer: Browser, support: Pipeline, change: dict[str, object], sentence: str
) -> None:
    given = {"row": [pk_of(support, 2)], "act": "release", "reason": "both are real"}

    response = engineer.post(HERE, given | change)

    assert response.status_code == 422 and sentence in response.text
    if "row" not in change:
        assert response.text.count(" checked") == 1
    with factories.inside(support):
        assert Example.objects.get(line=2).state == "quarantined"


def test_a_row_of_another_client_is_left_alone(engineer: Browser, support: Pipeline, birch: Client) -> None:
    other = factories.make_pipeline(birch, "other")
    with factories.inside(other):
        actions.add_examples(other, [b"broken"], token="t", source="x", actor="tests", now=factories.NOW)
        foreign = Example.objects.get()

    response = engineer.post(HERE, {"row": [foreign.pk], "act": "discard", "reason": "try"}, follow=True)

    assert "0 rows changed." in response.text
    with factories.inside(other):
        assert Example.objects.get().state == "quarantined"


def test_the_difference_from_the_twin_and_the_broken_place_are_marked(viewer: Browser, support: Pipeline) -> None:
    text = viewer.get(HERE).text

    assert "<del>?</del>" in text
    assert "<mark>&quot;input&quot;</mark>: 3}" in text


def test_rows_are_found_by_what_they_say_in_any_script(viewer: Browser, support: Pipeline) -> None:
    with factories.inside(support):
        actions.add_examples(support, [row("¿Dónde está mi señal?")], token="es", actor="tests", now=factories.NOW)
        Example.objects.filter(batch__token="es").update(state="quarantined", rule="conflict")

    def lines_of(**wanted: str) -> list[tuple[str, int]]:
        return [(e.batch.source, e.line) for e in viewer.get(HERE, wanted).context["page"]]

    assert lines_of(text="señal") == [("upload", 1)]
    assert lines_of(text="INVOICE") == [("may.ndjson", 2)]
    assert lines_of(source="may.ndjson", rule="near_duplicate") == [("may.ndjson", 2)]
    assert lines_of(text="nobody says this") == []


def test_a_decision_is_taken_back_and_both_are_in_the_ledger(engineer: Browser, support: Pipeline) -> None:
    engineer.post(HERE, {"row": [pk_of(support, 2), pk_of(support, 3)], "act": "discard", "reason": "nobody wrote it"})
    with factories.inside(support):
        decision = RowDecision.objects.get()
        assert (decision.verb, decision.rows) == ("discard", 2)

    response = engineer.post(HERE, {"undo": decision.pk}, follow=True)
    again = engineer.post(HERE, {"undo": decision.pk}, follow=True)

    assert "2 rows are as before." in response.text and "taken back by" in response.text
    assert "was taken back already" in again.text
    with factories.inside(support):
        states = dict(Example.objects.values_list("line", "state"))
        verbs = list(AuditEvent.objects.filter(verb__startswith="rows.").order_by("seq").values_list("verb", flat=True))
    assert states == {1: "ready", 2: "quarantined", 3: "quarantined"}
    assert verbs == ["rows.discard", "rows.undo"]


def test_a_row_that_changed_meanwhile_is_not_taken_back(engineer: Browser, support: Pipeline) -> None:
    engineer.post(HERE, {"row": [pk_of(support, 2)], "act": "release", "reason": "both are real"})
    with factories.inside(support):
        first = RowDecision.objects.get()
        Example.objects.filter(line=2).update(state="left_out", rule="quality")

    response = engineer.post(HERE, {"undo": first.pk}, follow=True)

    assert "0 rows are as before. 1 stay" in response.text
    with factories.inside(support):
        assert Example.objects.get(line=2).state == "left_out"


def left_out(support: Pipeline, count: int = 40) -> None:
    with factories.inside(support):
        many = [row(f"number {n}") for n in range(count)]
        actions.add_examples(support, many, token="many", source="many.ndjson", actor="tests", now=factories.NOW)
        Example.objects.filter(batch__token="many").update(state="left_out", rule="quality")


def test_all_rows_that_match_are_decided_at_once(engineer: Browser, support: Pipeline) -> None:
    left_out(support)

    given = {"every": "1", "shown": "40", "act": "release", "reason": "short on purpose"}
    response = engineer.post(HERE + "?rule=quality&state=left_out", given, follow=True)

    assert "40 rows changed." in response.text
    with factories.inside(support):
        assert Example.objects.filter(state="left_out").count() == 0
        assert Example.objects.get(batch__source="may.ndjson", line=2).state == "quarantined"


def test_rows_that_came_after_the_list_was_drawn_are_not_decided_unseen(engineer: Browser, support: Pipeline) -> None:
    left_out(support, 41)
    address = HERE + "?rule=quality&state=left_out"
    given = {"every": "1", "shown": "40", "act": "release", "reason": "short on purpose"}

    refused = engineer.post(address, given)

    assert refused.status_code == 422 and "another one by now, of 41 rows" in refused.text
    assert 'name="shown" value="41"' in refused.text
    with factories.inside(support):
        assert Example.objects.filter(state="left_out").count() == 41


def test_of_more_rows_than_are_decided_at_once_the_rest_is_told(
    engineer: Browser, support: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agency.portal.views.rows.queue.AT_ONCE", 30)
    left_out(support)
    address = HERE + "?rule=quality&state=left_out"
    given = {"every": "1", "shown": "40", "act": "release", "reason": "short on purpose"}

    offered = engineer.get(address).text
    said = engineer.post(address, given, follow=True).text

    assert "The first 30 of 40 rows that match" in offered
    assert "30 rows changed. 10 more rows match: decide again." in said


@pytest.fixture
def waiting(support: Pipeline) -> Pipeline:
    """Two rows of what a user said, which wait for a look."""
    with factories.inside(support):
        said = [row("Where did my refund go?"), row("My parcel is wet")]
        actions.add_examples(support, said, token="said", source="feedback", actor="tests", now=factories.NOW)
    return support


def test_rows_of_low_trust_wait_in_the_review_queue_for_a_label(engineer: Browser, waiting: Pipeline) -> None:
    page = engineer.get(REVIEW)
    assert [example.rule for example in page.context["page"]] == ["trust", "trust"]
    assert list(engineer.get(HERE, {"text": "refund"}).context["page"]) == []

    chosen = [example.pk for example in page.context["page"]]
    given = {"row": chosen[:1], "act": "label", "label": "returns", "reason": "it is about a refund"}
    response = engineer.post(REVIEW, given, follow=True)

    assert "1 row changed." in response.text
    with factories.inside(waiting):
        labelled = Example.objects.get(pk=chosen[0])
    assert (labelled.state, labelled.label, labelled.messages[-1]["content"]) == ("ready", "returns", "returns")


@pytest.mark.parametrize("label", ["", "unheard of"])
def test_a_label_must_be_one_of_the_pipelines(engineer: Browser, waiting: Pipeline, label: str) -> None:
    chosen = [example.pk for example in engineer.get(REVIEW).context["page"]]

    response = engineer.post(REVIEW, {"row": chosen, "act": "label", "label": label, "reason": "why not"})

    assert response.status_code == 422
    with factories.inside(waiting):
        assert Example.objects.filter(state="review").count() == 2


def test_a_malformed_row_is_edited_checked_and_taken_back(engineer: Browser, support: Pipeline) -> None:
    here = reverse("row", args=["acorn", "support", pk_of(support, 3)])
    assert "<mark>" in engineer.get(here).text

    wrong = engineer.post(here, {"act": "edit", "reason": "meant so", "raw": '{"input": "", "output": "billing"}'})
    right = '{"input": "Where is the bill?", "output": "billing"}'
    engineer.post(here, {"act": "edit", "reason": "meant so", "raw": right})

    assert wrong.status_code == 422 and "/input is empty" in wrong.text
    with factories.inside(support):
        edited = Example.objects.get(line=3)
        assert (edited.state, edited.label, edited.raw) == ("ready", "billing", '{"input": 3}')
        actions.undo_decision(support, decision=RowDecision.objects.get().pk, actor="owner", now=factories.NOW)
        assert Example.objects.get(line=3).messages == []
    assert "meant so" in engineer.get(here).text


def test_a_field_of_an_answer_that_cannot_be_stored_is_counted_by_what_is_left_of_it(acorn: Client) -> None:
    pipeline = factories.make_pipeline(acorn, criteria={"output": {"kind": "json", "fields": ["category"]}})
    odd = [json.dumps({"input": "Hello", "output": json.dumps({"category": said})}) for said in ("a\ud83d", "b\x00")]
    with factories.inside(pipeline):
        lines = [odd[0].encode(), b'{"input": 3}']
        actions.add_examples(pipeline, lines, token="t", source="may.ndjson", actor="tests", now=factories.NOW)
        kept, broken = Example.objects.order_by("line")
        said = {"actor": "owner", "reason": "meant so", "now": factories.NOW}
        actions.edit_row(pipeline, pk=broken.pk, line=odd[1].encode(), **said)

        assert list(Example.objects.order_by("line").values_list("label", flat=True)) == ["a\ufffd", "b\ufffd"]
        assert "ud83d" in kept.messages[1]["content"]


def test_one_row_shows_its_twin_its_score_and_leads_to_the_next(engineer: Browser, waiting: Pipeline) -> None:
    twin = engineer.get(reverse("row", args=["acorn", "support", pk_of_said(waiting, "Where is my invoice")])).text
    assert "only here" in twin and "Its twin, line 1 of may.ndjson" in twin and "Quality" in twin

    first = reverse("row", args=["acorn", "support", pk_of_said(waiting, "Where did my refund go?")])
    response = engineer.post(first, {"act": "release", "reason": "well said"}, follow=True)

    assert response.context["row"].messages[0]["content"] == "My parcel is wet"


def pk_of_said(pipeline: Pipeline, said: str) -> int:
    with factories.inside(pipeline):
        return next(e.pk for e in Example.objects.all() if e.messages and e.messages[0]["content"] == said)


def test_unfamiliar_questions_of_the_traffic_wait_for_their_label(engineer: Browser, acorn: Client) -> None:
    made = factories.make_pipeline(acorn)
    version = factories.make_production(made).model_version
    with factories.inside(made):
        known = [row(f"my invoice {n} of last month is wrong") for n in range(120)]
        actions.add_examples(made, known, token="known", actor="tests", now=factories.NOW)
        Example.objects.update(dataset=version.dataset)
        for n, said in enumerate(("my invoice 7 of this month is wrong", "Quantum flux?", "Quantum flux?", "")):
            keep(version, n, said)

    response = engineer.post(REVIEW, {"gather": "1"}, follow=True)
    again = engineer.post(REVIEW, {"gather": "1"}, follow=True)

    assert "1 unfamiliar question from traffic." in response.text and "Nothing unfamiliar" in again.text
    [found] = response.context["page"]
    assert (found.rule, found.state, found.batch.source) == ("novel", "review", "traffic")
    assert [m["content"] for m in found.messages] == ["Quantum flux?", "billing"]


def keep(version: ModelVersion, number: int, said: str) -> None:
    """An exchange whose words the client lets us keep."""
    fields = {"version": version, "request_id": f"q{number}", "at": factories.NOW, "finished_at": factories.NOW}
    told = Exchange.of(version, pipeline_id=version.pipeline_id, host="shop", arm="production", status=200, **fields)
    told.save()
    request = json.dumps({"messages": [{"role": "user", "content": said}]})
    kept = {"request": request, "answer": "billing", "prompt_digest": str(number), "at": factories.NOW}
    Body.of(told, pipeline_id=version.pipeline_id, exchange=told, **kept).save()
