"""Versions: the card, version.yaml, and the way back."""

from __future__ import annotations

import pytest
import yaml
from django.test import Client as Browser
from django.urls import reverse

from pipelines.artifacts import store_of
from pipelines.models import ModelVersion, Placement, Rollback, Route
from tenants.models import Client, Pipeline
from tests import factories


@pytest.fixture
def support(acorn: Client) -> Pipeline:
    """Version 2 in production, version 1 archived."""
    pipeline = factories.make_pipeline(acorn)
    factories.make_production(pipeline)
    factories.make_production(pipeline)
    with factories.inside(pipeline):
        ModelVersion.objects.filter(number=1).update(status="archived")
    return pipeline


@pytest.fixture
def files_there(support: Pipeline) -> None:
    """Version 1 has a file in the store."""
    with factories.inside(support):
        digest = store_of(support.client_id).put_bytes(b"version 1")
        ModelVersion.objects.filter(number=1).update(gguf_digest=digest)


def way(number: int) -> str:
    return reverse("roll-back", args=["acorn", "support", number])


def test_the_card_shows_every_fact_of_the_version(viewer: Browser, support: Pipeline) -> None:
    response = viewer.get(reverse("version", args=["acorn", "support", 2]))

    card = response.context["card"]
    with factories.inside(support):
        version = ModelVersion.objects.select_related("dataset").get(number=2)
    for fact in (
        version.gguf_digest[:12],
        version.dataset.digest[:12],
        "Q4_K_M",
        "4,812,320",
        card["settings_revision"]["digest"][:12],
    ):
        assert fact in response.text
    assert all(gate["sentence"].split(">")[0] in response.text for gate in card["gates"])
    assert "learning rate" in response.text and "0.002" in response.text


def test_the_card_comes_as_yaml_too(viewer: Browser, support: Pipeline) -> None:
    response = viewer.get(reverse("version-file", args=["acorn", "support", 2]))

    assert yaml.safe_load(response.content)["version"] == "v2"
    assert "acorn-support-v2.yaml" in response["Content-Disposition"]


def test_each_version_says_why_it_cannot_be_restored(engineer: Browser, support: Pipeline) -> None:
    with factories.inside(support):
        Placement.objects.filter(version__number=1).delete()
    obstacles = engineer.get(reverse("versions", args=["acorn", "support"])).context["obstacles"]

    assert "in production already" in obstacles[2]
    assert "not in the artifact store" in obstacles[1]


def test_the_button_is_dead_where_the_way_is_barred(engineer: Browser, support: Pipeline) -> None:
    text = engineer.get(way(2)).text

    assert "disabled" in text and "in production already" in text


def test_a_person_rolls_back_with_a_reason(engineer: Browser, support: Pipeline, files_there: None) -> None:
    response = engineer.post(way(1), {"reason": "answers got curt"}, follow=True)

    assert "All traffic goes to v1" in response.text
    with factories.inside(support):
        made = Rollback.objects.get()
        assert (made.from_version.number, made.to_version.number) == (2, 1)
        assert made.decided_by == "engineer@north.example" and made.sentence == "answers got curt"
        assert Route.objects.get().production.number == 1


def test_without_a_reason_nothing_moves(engineer: Browser, support: Pipeline, files_there: None) -> None:
    assert engineer.post(way(1), {"reason": ""}).status_code == 422
    with factories.inside(support):
        assert not Rollback.objects.exists() and Route.objects.get().production.number == 2


def test_the_dialog_says_what_moves_and_who_is_told(engineer: Browser, support: Pipeline, files_there: None) -> None:
    response = engineer.get(way(1), headers={"HX-Request": "true", "HX-Target": "div#dialog-body"})

    assert "<html" not in response.text
    assert response.context["way_back"].leaving.number == 2
    assert "team@north.example" in response.text and "disabled" not in response.text


def test_an_unknown_version_is_not_there(viewer: Browser, support: Pipeline) -> None:
    assert viewer.get(reverse("version", args=["acorn", "support", 99])).status_code == 404
