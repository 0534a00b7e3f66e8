"""Rows that wait for a person: what broke, where, the twin, and what is done with them."""

from __future__ import annotations

import pytest
from django.test import Client as Browser
from django.urls import reverse

from pipelines import actions
from pipelines.models import Example
from tenants.models import Client, Pipeline
from tests import factories

HERE = reverse("quarantine", args=["acorn", "support"])


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
    assert "/input" in text and "{&quot;input&quot;: 3}" in text


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
