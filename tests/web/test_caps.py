"""Caps of a client and of the agency: set by its owner, held by the database, told in a sentence."""

from __future__ import annotations

import threading
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client as Browser
from django.urls import reverse
from django.utils.timezone import now
from pydantic import ValidationError

from pipelines import actions, usage
from pipelines.actions.imports import stage_file
from pipelines.models import Batch, Job, Run, TriggerDecision
from pipelines.triggers import consider
from tenants import actions as ground
from tenants import billing, scope
from tenants.billing import caps
from tenants.models import Agency, AuditEvent, CapKind, Client, Pipeline
from tenants.models.value import PRICES
from tests import factories

CAPS = reverse("caps")
PATIENCE_S = 2.0


def cap(agency: Agency, client: Client | None = None, **most: int) -> None:
    given = {kind: most.get(kind) for kind in CapKind.values}
    with scope.agency_scope(agency.pk):
        caps.set_caps(agency, client, given, "owner@north.example", now())


def start(pipeline: Pipeline) -> Run:
    with factories.inside(pipeline):
        return actions.start_run(pipeline, actor="ana", now=now())


def test_none_is_set_at_first_and_an_owner_sets_them_with_a_line_in_the_ledger(
    owner: Browser, viewer: Browser, acorn: Client
) -> None:
    assert "none" in viewer.get(CAPS).text

    owner.post(CAPS, {"runs": "3", "bytes": "1.5", "spend": "20.50"})

    assert caps.caps_of(acorn.agency_id, None) == {"runs": 3, "bytes": 1_610_612_736, "spend": 2050}
    with scope.agency_scope(acorn.agency_id):
        event = AuditEvent.objects.get(verb="caps.change")
    assert event.detail["changed"]["runs"] == [None, 3] and event.actor == "owner@north.example"
    owner.post(CAPS, {"runs": "4"})
    assert caps.caps_of(acorn.agency_id, None) == {"runs": 4}, "an emptied field takes its cap away"


def test_bad_numbers_are_told_and_nothing_is_saved(owner: Browser, acorn: Client) -> None:
    response = owner.post(reverse("client-caps", args=["acorn"]), {"runs": "-1", "tokens": "many"})

    assert response.status_code == 422
    assert "greater than or equal to 0" in response.text and "Enter a number" in response.text
    assert caps.caps_of(acorn.agency_id, acorn.pk) == {}


def test_used_and_cap_stand_beside_each_other(owner: Browser, acorn: Client, birch: Client) -> None:
    for client in (acorn, birch):
        start(factories.make_pipeline(client))
    cap(acorn.agency, runs=5)
    cap(acorn.agency, acorn, runs=4)

    of_all = {str(line.label): line for line in owner.get(CAPS).context["lines"]}["Live runs"]
    page = owner.get(reverse("client-caps", args=["acorn"]))
    of_one = {str(line.label): line for line in page.context["lines"]}["Live runs"]

    assert (of_all.used, of_all.most, of_all.percent) == ("2", "5", 40)
    assert (of_one.used, of_one.most, of_one.percent) == ("1", "4", 25)
    assert [client.slug for client in owner.get(CAPS).context["clients"]] == ["acorn"]


def test_a_run_above_the_clients_cap_is_refused_on_the_page_and_by_the_api(
    engineer: Browser, acorn: Client, birch: Client
) -> None:
    cap(acorn.agency, acorn, runs=1)
    start(factories.make_pipeline(acorn, "support"))
    factories.make_pipeline(acorn, "sorting")
    key = factories.make_key(acorn)

    page = engineer.post(reverse("start-run", args=["acorn", "sorting"]), {"reason": "now"})
    answer = engineer.post(
        "/rest/v1/pipelines/sorting/runs",
        {"reason": "now"},
        content_type="application/json",
        headers={"authorization": f"Bearer {key}"},
    )

    said = "This client has 1 live runs of at most 1. Let one end, or have an owner raise the cap."
    assert page.status_code == 422 and said in page.text
    assert (answer.status_code, answer.json()["error"]["message"]) == (409, said)
    assert start(factories.make_pipeline(birch)).number == 1, "another client has its own"


def test_the_agencys_cap_holds_for_all_its_clients_together_and_for_no_other_agency(
    acorn: Client, birch: Client, cedar: Client
) -> None:
    cap(acorn.agency, runs=1)
    start(factories.make_pipeline(acorn))
    with pytest.raises(actions.ActionRefused, match="The agency has 1 live runs of at most 1"):
        start(factories.make_pipeline(birch))
    assert start(factories.make_pipeline(cedar)).number == 1


def test_one_pipeline_too_many_is_refused_beside_the_form(owner: Browser, acorn: Client) -> None:
    factories.make_pipeline(acorn)
    cap(acorn.agency, acorn, pipelines=1)

    given = {"name": "Sorting", "slug": "sorting", "preset": "classification", "labels": "a\nb", "base": "tiny"}
    page = owner.post(reverse("new-pipeline", args=["acorn"]), given)
    with factories.inside(acorn), pytest.raises(ValidationError, match="has 1 pipelines of at most 1"):
        ground.create_pipeline(acorn, "Sorting", "sorting", factories.settings_body(), "ana", now())

    assert page.status_code == 422 and "This client has 1 pipelines of at most 1." in page.text
    with factories.inside(acorn):
        assert Pipeline.objects.count() == 1


def test_an_upload_that_would_not_fit_is_refused_and_leaves_no_batch(acorn: Client) -> None:
    pipeline = factories.make_pipeline(acorn)
    cap(acorn.agency, acorn, bytes=1000)
    with factories.inside(acorn):
        stage_file(pipeline, "shop", "first.jsonl", [b"x" * 600], actor="ana", now=now())
        with pytest.raises(actions.ActionRefused, match=r"keeps 0\.00 GiB of at most 0\.00"):
            stage_file(pipeline, "shop", "second.jsonl", [b"y" * 600], actor="ana", now=now())
        assert Batch.objects.count() == 1


def test_no_run_begins_once_the_months_money_is_spent_and_the_next_month_has_its_own(acorn: Client) -> None:
    pipeline = factories.make_pipeline(acorn)
    done, at = factories.make_production(pipeline), now()
    with factories.inside(acorn):
        Job.objects.all().delete()
        job = Job.of(done, run=done, stage="finetune", kind="train", queue="gpu", status="succeeded", created_at=at)
        job.started_at, job.finished_at = at - timedelta(hours=2), at
        job.save()
    with scope.agency_scope(acorn.agency_id):
        billing.change_terms(acorn.agency, {"prices": PRICES | {"train_hour": "5"}}, "owner", at)
    cap(acorn.agency, acorn, spend=1000)

    with pytest.raises(actions.ActionRefused, match=r"cost 10\.00 this month of at most 10\.00"):
        start(pipeline)
    with factories.inside(acorn):
        assert actions.start_run(pipeline, actor="ana", now=usage.month_end(at)).number == done.number + 1


def test_a_trigger_that_a_cap_holds_back_says_so_in_the_ledger_and_fires_when_there_is_room(acorn: Client) -> None:
    daily = {"new_examples": None, "quality_below": None, "schedule": {"rule": "FREQ=DAILY", "at": "04:00"}}
    pipeline, other = factories.make_pipeline(acorn, triggers=daily), factories.make_pipeline(acorn, "sorting")
    cap(acorn.agency, acorn, runs=1)
    live = start(other)
    due = factories.NOW + timedelta(days=1, seconds=1)
    with factories.inside(acorn):
        look(pipeline, due)
        held = TriggerDecision.objects.get(pipeline=pipeline)
        actions.cancel(live, actor="ana", reason="room", now=due)
        look(pipeline, due + timedelta(hours=1))
        started = Run.objects.get(pipeline=pipeline)

    assert held.started is False
    assert held.reason.startswith("This client has 1 live runs of at most 1.") and "due 2026-03-04 04:00" in held.reason
    assert "held back: This client has 1 live runs of at most 1." in started.occasion["reason"]


def look(pipeline: Pipeline, at: Any) -> None:
    state = actions.runs.state_of(pipeline)
    state.due_at = at
    state.save()
    consider(state, at)


@pytest.mark.parametrize("kind", [CapKind.RUNS, CapKind.PIPELINES])
def test_two_at_once_cannot_pass_a_cap_together(
    transactional_db: None, kind: CapKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each waits, once it has counted, for the other to count too: only a lock keeps the second from doing so."""
    agency = factories.make_agency("north")
    client = factories.make_client(agency, "acorn")
    rows = [factories.make_pipeline(client, slug) for slug in ("support", "sorting")]
    cap(agency, **{kind: 1 if kind is CapKind.RUNS else 3})
    both, refused = threading.Barrier(2), list[str]()
    usage_of, pipelines_of = usage.used, caps.pipelines_of

    def wait_for_the_other(amount: int) -> int:
        with suppress(threading.BrokenBarrierError):
            both.wait(0.5)
        return amount

    def counted(kind: CapKind, *asked: Any) -> int:
        amount = usage_of(kind, *asked)
        return wait_for_the_other(amount) if kind is CapKind.RUNS else amount

    monkeypatch.setattr(usage, "used", counted)
    monkeypatch.setattr(caps, "pipelines_of", lambda pk: lambda of: wait_for_the_other(pipelines_of(pk)(of)))

    def add(row: Pipeline) -> None:
        try:
            if kind is CapKind.RUNS:
                start(row)
            else:
                with factories.inside(row):
                    body = factories.settings_body()
                    ground.create_pipeline(row.client, "New", f"new-{row.slug}", body, "ana", now())
        except (actions.ActionRefused, ValidationError) as error:
            refused.append(str(error))
        finally:
            connection.close()

    both_at_once = [threading.Thread(target=add, args=(row,)) for row in rows]
    for thread in both_at_once:
        thread.start()
    for thread in both_at_once:
        thread.join(10 * PATIENCE_S)

    with factories.inside(client):
        left = {CapKind.RUNS: Run.objects.count(), CapKind.PIPELINES: Pipeline.objects.count() - 2}
    assert left[kind] == 1
    assert len(refused) == 1 and "of at most" in refused[0]
