"""The client's report: what its own people read, and what they never see."""

from __future__ import annotations

import pytest
from django.test import Client as Browser
from django.urls import reverse

from pipelines.models import Rollback
from tenants.models import Client
from tests import factories

HERE = reverse("report", args=["acorn"])


@pytest.fixture
def history(acorn: Client) -> None:
    """Version 1 in production; a rejected run after it, and a version taken back by a person."""
    pipeline = factories.make_pipeline(acorn)
    first = factories.make_production(pipeline)
    factories.make_run(pipeline, at="compare", status="rejected")
    with factories.inside(pipeline):
        fields = {"phase": "person", "metric": "decision", "sentence": "Robin of support did not like it"}
        versions = {"from_version": first.model_version, "to_version": first.model_version}
        Rollback.of(
            pipeline,
            pipeline=pipeline,
            decided_by="owner@north.example",
            decided_at=factories.NOW,
            **versions,
            **fields,
        ).save()


def test_it_says_how_it_is_today_and_why_the_version_is_safe(reader: Browser, history: None) -> None:
    response = reader.get(HERE)

    assert "All your models are in service." in response.text
    assert "Why v1 is safe" in response.text and "20 of 20 safety cases right" in response.text


def test_a_rejected_run_is_told_in_a_clients_words(reader: Browser, history: None) -> None:
    text = reader.get(HERE).text

    assert "It was not shown to be as good as what you have; nothing changed." in text
    assert "left rejected by a test" not in text


def test_neither_hosts_nor_staff_nor_other_clients_are_in_it(reader: Browser, history: None, birch: Client) -> None:
    factories.make_production(factories.make_pipeline(birch, "secret-birch-task"))

    text = reader.get(HERE).text.replace("reader@north.example", "")  # The reader, signed in.

    for hidden in ("north.example", "127.0.0.1", "deploy.invalid", "shop", "Robin", "Birch", "Secret"):
        assert hidden not in text


def test_nothing_in_it_can_be_ordered(reader: Browser, history: None) -> None:
    text = reader.get(HERE).text

    assert text.count("<form") == 1 and reverse("logout") in text
    assert "/c/acorn" not in text


def test_a_client_without_a_model_is_told_so(reader: Browser) -> None:
    assert "No model has been set up for you yet." in reader.get(HERE).text


def test_a_pipeline_without_a_first_version_is_named(reader: Browser, acorn: Client) -> None:
    factories.make_pipeline(acorn, "letters")

    assert "Still without a first version: Letters." in reader.get(HERE).text


def test_staff_read_the_same_report_with_a_way_back(viewer: Browser, history: None) -> None:
    assert reverse("client", args=["acorn"]) in viewer.get(HERE).text
