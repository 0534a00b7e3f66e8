"""Windows, blackouts and freezes hold rollouts with a reason in the ledger; nothing holds a rollback."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.test import Client as Browser
from django.urls import reverse
from django.utils.timezone import now

from pipelines import actions
from pipelines.models import Job, Route, Run, RunEvent
from tenants import freezing, scope
from tenants.actions import change_settings
from tenants.models import Agency, AuditEvent, Freeze, Pipeline, Role
from tests import factories
from tests.flow.test_line import later, promoted, start


def frozen(place: freezing.Place) -> Freeze:
    return freezing.freeze(place, actor="owner", reason="year end", now=now())


def route_of(pipeline: Pipeline) -> tuple[int, int | None, int]:
    row = Route.objects.select_related("production", "candidate").get(pipeline=pipeline)
    return row.production.number, row.candidate.number if row.candidate else None, row.candidate_bp


def pressed(run: Run) -> Run:
    """The run after more than a day, and after a person approved its next step where it asks for that."""
    run = later(run, 90_000)
    if run.status == "held":
        actions.approve(run, actor="owner", reason="go on", now=now())
    return Run.objects.get(pk=run.pk)


@pytest.mark.parametrize("width", ["pipeline", "client", "agency"])
def test_a_frozen_rollout_is_not_even_pushed_and_goes_on_when_it_is_lifted(
    pipeline: Pipeline, add_rows: Callable[..., None], width: str
) -> None:
    add_rows(0, 30)
    promoted(pipeline)
    places = {"pipeline": pipeline, "client": pipeline.client, "agency": Agency.objects.get(pk=pipeline.agency_id)}
    row = frozen(places[width])
    add_rows(1000, 30)
    run = start(pipeline)
    assert (run.status, run.reason) == ("waiting", "rollout waits: frozen by owner: year end")
    assert RunEvent.objects.filter(run=run, reason=run.reason).count() == 1
    assert not Job.objects.filter(run=run, kind__startswith="push").exists()
    freezing.lift(row, actor="owner", reason="done", now=now())
    assert later(run, 300).reason == "push to hosts"
    with scope.agency_scope(pipeline.agency_id):
        acts = AuditEvent.objects.filter(verb__startswith="freeze").order_by("seq")
        assert [act.verb for act in acts] == ["freeze.set", "freeze.lift"]


def test_a_canary_keeps_its_share_while_it_is_frozen_and_can_be_taken_back(
    pipeline: Pipeline, add_rows: Callable[..., None]
) -> None:
    add_rows(0, 30)
    promoted(pipeline)
    add_rows(1000, 30)
    run = start(pipeline)
    frozen(pipeline)
    before = route_of(pipeline)
    run = pressed(run)
    assert route_of(pipeline) == before == (1, 2, 500)
    assert run.reason == "rollout waits: frozen by owner: year end"
    with pytest.raises(actions.ActionRefused, match="frozen by owner: year end"):
        actions.promote_rollout(run, actor="owner", reason="hurry", now=now())
    actions.roll_back(pipeline, to=None, actor="owner", reason="a client complained", now=now())
    assert route_of(pipeline) == (1, None, 0)


def test_a_blackout_set_after_the_run_began_counts(pipeline: Pipeline, add_rows: Callable[..., None]) -> None:
    add_rows(0, 30)
    promoted(pipeline)
    add_rows(1000, 30)
    run = start(pipeline)
    today = now().date()
    text = f"{today}/{today + timedelta(days=400)} audit"
    body = pipeline.settings.model_dump(mode="json") | {"change": {"blackouts": [text]}}
    change_settings(pipeline, body, "owner", now())
    assert pressed(run).reason == f"rollout waits: blackout {text}"


def test_a_client_called_agency_is_frozen_alone(pipeline: Pipeline) -> None:
    with scope.entered(None):
        agency = pipeline.client.agency
        named = factories.make_client(agency)
        with scope.agency_scope(agency.pk):
            type(named).objects.filter(pk=named.pk).update(slug="agency")
        browser = Browser()
        browser.force_login(factories.make_member(agency, Role.ENGINEER))
        for place in ("agency", "-"):
            assert browser.post(reverse("freezes"), {"where": place, "reason": "year end"}).status_code == 303
    with scope.agency_scope(agency.pk):
        assert set(Freeze.objects.values_list("client", flat=True)) == {named.pk, None}


def test_a_freeze_is_set_seen_and_lifted_on_its_page(pipeline: Pipeline) -> None:
    with scope.entered(None):
        person = factories.make_member(pipeline.client.agency, Role.ENGINEER)
        browser = Browser()
        browser.force_login(person)
        place = f"{pipeline.client.slug}/support"
        said = browser.post(reverse("freezes"), {"where": place, "reason": "year end", "days": 3}, follow=True)
        assert f"{place} is frozen" in said.text and "year end" in said.text
        shown = browser.get(reverse("pipeline", args=[pipeline.client.slug, "support"]))
        assert "Rollouts wait" in shown.text and "year end" in shown.text
        assert browser.post(reverse("freezes"), {"where": place, "reason": ""}).status_code == 422
    row = Freeze.objects.get()
    with scope.entered(None):
        url = reverse("lift-freeze", args=[row.pk])
        assert "Lifted" in browser.post(url, {"reason": "done"}, follow=True).text
        assert "ended already" in browser.post(url, {"reason": "again"}).text


def test_whoever_lifts_a_freeze_under_another_one_hears_that_rollouts_wait(pipeline: Pipeline) -> None:
    rows = [frozen(place) for place in (pipeline, pipeline.client, pipeline)]
    said = []
    for row in rows:
        freezing.lift(row, actor="owner", reason="done", now=now())
        said.append(freezing.lifted_words(row, now()))
    assert said[0] == f"Lifted. Rollouts wait all the same: {pipeline.client.slug} is frozen by owner: year end"
    assert said[1:] == [
        "Lifted. What waited goes on within two minutes, but not where another freeze holds it.",
        "Lifted. What waited goes on within two minutes.",
    ]


def test_a_freeze_is_set_and_lifted_by_command(pipeline: Pipeline) -> None:
    with scope.entered(None):
        out = StringIO()
        for name in ("", pipeline.client.slug):
            call_command("freeze", name, reason="year end", stdout=out)
        call_command("freeze", "", reason="over", lift=True, stdout=out)
    with scope.agency_scope(pipeline.agency_id):
        assert [(row.place, row.lifted_at is None) for row in Freeze.objects.order_by("id")] == [
            ("agency", False),
            (pipeline.client.slug, True),
        ]
