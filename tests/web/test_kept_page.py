"""What is kept of a client: why each version stays, what goes when, and the policy behind it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client as Browser
from django.urls import reverse
from django.utils import timezone

from pipelines import keeping
from pipelines.artifacts import store_of
from pipelines.domain.change.fate import Why, fates
from pipelines.models import ModelVersion, Placement, Rollout
from tenants.models import AuditEvent, Client, Pipeline
from tests import factories

HERE = reverse("kept", args=["acorn"])


@pytest.fixture
def pipeline(acorn: Client) -> Pipeline:
    """Four versions that were in production long ago, one after the other; all of their files are there."""
    made = factories.make_pipeline(acorn)
    with factories.inside(made):
        for number in range(1, 5):
            version = factories.make_production(made).model_version
            version.gguf_digest = store_of(acorn.pk).put_bytes(f"weights {number}".encode())
            version.created_at = version.promoted_at = timezone.now() - timedelta(days=300 - number)
            version.status = "production" if number == 4 else "archived"
            version.save()
        old = ModelVersion.objects.filter(number__lt=3)
        Placement.objects.filter(version__in=old).delete()
        Rollout.objects.filter(version__in=old).update(status="retired")
        Rollout.objects.update(previous=None)
    return made


def test_each_version_says_why_it_stays_or_when_it_goes(owner: Browser, acorn: Client, pipeline: Pipeline) -> None:
    with factories.inside(acorn):
        acorn.keep_versions, acorn.keep_days = 1, 30
        acorn.save()

    page = owner.get(HERE)

    with factories.inside(acorn):
        gone = {v.number for v in ModelVersion.objects.filter(gguf_digest__in=keeping.plan(acorn, timezone.now()))}
    shown = {line.version.number for line in page.context["page"].lines if line.fate.why is Why.GOES}
    assert shown == gone and gone, "what the page says goes is what the sweep would take"
    assert "goes at the next hourly sweep" in page.text and "stays: in use" in page.text


def test_the_policy_is_changed_here_and_stands_in_the_audit(owner: Browser, acorn: Client, pipeline: Pipeline) -> None:
    assert owner.post(HERE, {"versions": "0", "days": "30"}).status_code == 422
    assert owner.post(HERE, {"versions": "3", "days": "60"}, follow=True).status_code == 200

    with factories.inside(acorn):
        acorn.refresh_from_db()
        assert (acorn.keep_versions, acorn.keep_days) == (3, 60)
        assert AuditEvent.objects.get(verb="client.retention").detail == {"versions": [5, 3], "days": [90, 60]}


def test_another_clients_pipeline_is_not_found_here(owner: Browser, acorn: Client, pipeline: Pipeline) -> None:
    assert owner.get(f"{HERE}?pipeline=nobody").status_code == 404


def test_queries_do_not_grow_with_versions(owner: Browser, pipeline: Pipeline, django_assert_max_num_queries) -> None:
    with factories.inside(pipeline):
        for _ in range(4):
            factories.make_production(pipeline)
    with django_assert_max_num_queries(60) as few:
        owner.get(HERE)
    with factories.inside(pipeline):
        for _ in range(6):
            factories.make_production(pipeline)
    with django_assert_max_num_queries(len(few.captured_queries)):
        owner.get(HERE)


def test_a_fate_agrees_with_what_is_collected() -> None:
    at = factories.NOW
    old, kept = at - timedelta(days=400), keeping.Kept
    versions = [
        kept(1, frozenset({"a", "base"}), False, old, old),
        kept(2, frozenset({"b", "base"}), False, old, old + timedelta(days=1)),
        kept(3, frozenset({"c", "base"}), True, old, old + timedelta(days=2)),
        kept(4, frozenset({"base"}), False, old, None),
        kept(5, frozenset({"e"}), False, at - timedelta(days=1), None),
    ]
    found = fates(versions, keeping.Policy(1, 90), at)
    assert [found[n].why for n in range(1, 6)] == [Why.GOES, Why.GOES, Why.IN_USE, Why.SHARED, Why.YOUNG]
    assert found[5].until == at + timedelta(days=89)
