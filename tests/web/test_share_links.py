"""A report behind a link: opened by a stranger, ended, taken back; and what it never shows."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client as Browser
from django.urls import reverse
from django.utils import timezone

from pipelines.reports.client.changes import examples_of
from tenants import sharing
from tenants.models import AuditEvent, Client, Pipeline, SharedExample, ShareLink
from tests import factories
from tests.answers import measured

SHARING = reverse("sharing", args=["acorn"])
ISSUE = reverse("issue-link", args=["acorn"])
GIVEN = {"name": "the board", "days": "30", "pipeline": ""}


@pytest.fixture
def pipeline(acorn: Client) -> Pipeline:
    made = factories.make_pipeline(acorn)
    factories.make_production(made, timezone.now())
    return made


def link(client: Client, pipeline: Pipeline | None = None, days: int = 30) -> tuple[ShareLink, str]:
    with factories.inside(client):
        made, token = sharing.issue_link(client, pipeline, "the board", days, "owner@north.example", timezone.now())
    return made, reverse("shared-report", args=[token])


def test_a_link_is_shown_once_and_kept_as_a_digest(owner: Browser, pipeline: Pipeline, anonymous: Browser) -> None:
    first = owner.post(ISSUE, GIVEN, follow=True)

    address = first.context["link_text"]
    assert address in first.text and address not in owner.get(SHARING).text
    with factories.inside(pipeline.client):
        row = ShareLink.objects.get()
        assert row.digest not in address and "share.issue" in set(AuditEvent.objects.values_list("verb", flat=True))
    assert "All your models are in service." in anonymous.get(address).text


def test_a_stranger_reads_figures_and_nothing_keeps_the_page(anonymous: Browser, pipeline: Pipeline) -> None:
    _row, address = link(pipeline.client)

    response = anonymous.get(address)

    assert "What v1 was tested on" in response.text
    assert response["Cache-Control"] == "no-store" and response["Referrer-Policy"] == "no-referrer"
    assert "noindex" in response["X-Robots-Tag"] and not response.cookies
    for hidden in ("north.example", "127.0.0.1", "deploy.invalid", "shop", "<form", "/c/acorn", "/report/"):
        assert hidden not in response.text


def test_a_view_is_counted_once_a_minute_and_nobody_is_noted(anonymous: Browser, pipeline: Pipeline) -> None:
    row, address = link(pipeline.client)

    anonymous.get(address)
    anonymous.get(address)

    with factories.inside(pipeline.client):
        row.refresh_from_db()
    assert row.views == 1 and row.last_viewed_at is not None


def test_a_link_that_ended_says_so_and_nothing_else(anonymous: Browser, pipeline: Pipeline) -> None:
    row, address = link(pipeline.client)
    with factories.inside(pipeline.client):
        ShareLink.objects.filter(pk=row.pk).update(expires_at=timezone.now() - timedelta(seconds=1))

    response = anonymous.get(address)

    assert response.status_code == 410 and "This link is closed" in response.text
    assert "Acorn" not in response.text and "North" not in response.text


def test_a_link_that_was_taken_back_is_closed_at_once(owner: Browser, anonymous: Browser, pipeline: Pipeline) -> None:
    row, address = link(pipeline.client)

    owner.post(reverse("revoke-link", args=["acorn", row.pk]))

    assert anonymous.get(address).status_code == 410
    assert "revoked" in owner.get(SHARING).text


def test_a_token_that_never_was_is_not_found(anonymous: Browser, pipeline: Pipeline) -> None:
    assert anonymous.get(reverse("shared-report", args=["x" * 43])).status_code == 404


def test_a_link_for_one_model_does_not_lead_to_another(anonymous: Browser, pipeline: Pipeline) -> None:
    factories.make_production(factories.make_pipeline(pipeline.client, "letters"), timezone.now())
    _row, address = link(pipeline.client, pipeline)

    assert "Letters" not in anonymous.get(address + "letters/").text
    assert "Letters" not in anonymous.get(address).text


def test_whoever_is_signed_in_reads_what_a_stranger_reads(
    stranger: Browser, owner: Browser, pipeline: Pipeline
) -> None:
    _row, address = link(pipeline.client)

    assert stranger.get(address).status_code == 200
    assert "/c/acorn" not in owner.get(address).text


def test_a_link_of_another_client_cannot_be_closed(owner: Browser, birch: Client, pipeline: Pipeline) -> None:
    row, address = link(birch)

    assert owner.post(reverse("revoke-link", args=["acorn", row.pk])).status_code == 404
    assert owner.get(address).status_code == 200


def test_answers_are_shown_to_strangers_only_where_they_were_approved(
    reader: Browser, engineer: Browser, anonymous: Browser, pipeline: Pipeline
) -> None:
    run = factories.make_production(pipeline, timezone.now())
    asked = [("Where is it?", "billing", "billing", "delivery"), ("And now?", "returns", "returns", "billing")]
    measured(run, {"heldout": asked, "safety": [("Tell me a secret", "no", "no", "yes")]})
    _row, address = link(pipeline.client)
    page = reverse("shared-examples", args=["acorn", "support"])

    assert "Real answers, before and after" in reader.get(reverse("report", args=["acorn"])).text
    assert "Real answers" not in anonymous.get(address).text
    engineer.post(page, {"share": ["c1", "not-a-case"]})

    with factories.inside(pipeline.client):
        assert list(SharedExample.objects.values_list("key", flat=True)) == ["c1"]
        assert [example.key for example in examples_of(run.model_version, is_public=True)] == ["c1"]
    shown = anonymous.get(address).text
    assert "And now?" in shown and "Where is it?" not in shown and "secret" not in shown
    engineer.post(page, {})
    assert "Real answers" not in anonymous.get(address).text
