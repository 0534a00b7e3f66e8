"""Addresses and hidden fields that nobody's mouse makes: an answer, never a fault."""

from __future__ import annotations

import pytest
from django.test import Client as Browser
from django.urls import reverse

from tenants.models import Client, Pipeline
from tests import factories

HERE = ("acorn", "support")
NUMBERS = ("²", "٣", "-1", "1e9", "9" * 5000, "9" * 30, "")
PAGES = {
    "data": ("page",),
    "quarantine": ("run", "page", "q", "rule"),
    "review": ("page", "q"),
    "eval-promote": ("size", "page"),
    "gate-simulator": ("gate", "effect"),
    "complaint": ("q", "request"),
}


@pytest.fixture
def support(acorn: Client) -> Pipeline:
    pipeline = factories.make_pipeline(acorn)
    factories.make_production(pipeline)
    return pipeline


@pytest.mark.parametrize("name", PAGES)
def test_a_number_that_is_none_is_answered(owner: Browser, support: Pipeline, name: str) -> None:
    there = reverse(name, args=HERE)

    answers = [owner.get(there, {field: odd}).status_code for field in PAGES[name] for odd in NUMBERS]

    assert set(answers) <= {200, 404}


def test_a_dataset_and_a_set_by_a_number_that_is_none(owner: Browser, support: Pipeline) -> None:
    dataset, cases = reverse("dataset", args=[*HERE, 1]), reverse("eval-set", args=[*HERE, "heldout"])

    beside = {owner.get(dataset, {"against": odd}).status_code for odd in NUMBERS}
    versions = {owner.get(cases, {"version": odd}).status_code for odd in NUMBERS if odd}

    assert beside <= {200, 404} and versions == {404}


def test_hidden_fields_that_hold_no_number_change_nothing(owner: Browser, support: Pipeline) -> None:
    case = {"id": "c1", "system": "", "input": "My card?", "check": "label", "expected": "billing", "base": "²"}

    chosen = owner.post(reverse("quarantine", args=HERE), {"row": "²", "act": "release", "reason": "why"})
    undone = owner.post(reverse("quarantine", args=HERE), {"undo": "²"}, follow=True)
    removed = owner.post(reverse("eval-set", args=[*HERE, "heldout"]), {"act": "remove", "case": "c1", "base": "²"})
    written = owner.post(reverse("eval-case", args=[*HERE, "safety"]), case)

    assert chosen.status_code == 422
    assert "taken back already" in undone.text
    assert removed.status_code == 422
    assert written.status_code == 303  # There is no set yet, which is what no number says, too.


@pytest.mark.parametrize("name", PAGES)
def test_an_address_with_a_nul_is_refused(owner: Browser, support: Pipeline, name: str) -> None:
    response = owner.get(reverse(name, args=HERE) + f"?{PAGES[name][-1]}=a%00b")

    assert response.status_code == 400 and "This address cannot be read" in response.text
