"""A rollout on its way: its panel, the orders to it by page and key, and the pages behind it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from django.test import Client as Browser
from django.urls import reverse
from django.utils.timezone import now

from pipelines.domain.canary import CanaryState
from pipelines.models import Body, Exchange, PipelineState, ReplayPair, Rollout, Route, Run, Traffic
from pipelines.shipping import canary
from tenants.models import AuditEvent, Client
from tests import factories
from tests.web.test_api_work import Program

ORDERS = ("pause-rollout", "promote-now", "abort-rollout")


@pytest.fixture
def run(acorn: Client) -> Run:
    """v2 beside v1, in its first step for ten minutes."""
    pipeline = factories.make_pipeline(acorn)
    factories.make_production(pipeline, now() - timedelta(days=2))
    made = factories.make_run(pipeline, at="deploy", status="waiting", now=now() - timedelta(hours=1))
    with factories.inside(acorn):
        previous = PipelineState.objects.get(pipeline=pipeline).production
        began = now() - timedelta(minutes=10)
        fields = {"version": made.model_version, "previous": previous, "created_at": began}
        rollout = Rollout.of(made, run=made, pipeline=pipeline, status="stepping", **fields)
        rollout.save()
        canary.begin(rollout, began)
        canary.open_steps(rollout, made.revision.settings, began)
        route = Route.objects.get(pipeline=pipeline)
        route.candidate, route.candidate_bp, route.rollout = made.model_version, 500, rollout
        route.save()
    return made


def page_of(run: Run, name: str = "run") -> str:
    return reverse(name, args=["acorn", "support", run.number])


def order(run: Run, name: str) -> str:
    return reverse("decide", args=["acorn", "support", run.number, name])


def test_the_panel_says_the_split_the_evidence_and_what_is_missing(viewer: Browser, run: Run) -> None:
    text = viewer.get(page_of(run)).text
    assert "Live split" in text and "5 %" in text
    assert "10 min of 2 h; 0 of 50 keys on the candidate, about 50 more" in text
    assert "Evidence that it is safe" in text
    assert "the client does not keep questions and answers" in text


def test_the_panel_counts_the_whole_rollout_and_not_the_last_start_alone(viewer: Browser, run: Run) -> None:
    with factories.inside(run):
        rollout = Rollout.objects.get(run=run)
        state = CanaryState.from_json(rollout.canary)
        watched = {
            name: watch.after("0" * 30 + "1", "0" * 300 + "1" * 15).opened() for name, watch in state.watches.items()
        }
        rollout.canary = replace(state, watches=watched).to_json()
        rollout.save()

    panel = viewer.get(page_of(run)).context["panel"]

    assert {(line.candidate_n, line.production_n) for line in panel.guardrails} == {(31, 315)}
    assert {round(line.production, 4) for line in panel.guardrails} == {round(15 / 315, 4)}


def test_orders_are_offered_to_those_who_may_give_them(owner: Browser, viewer: Browser, run: Run) -> None:
    asked = [order(run, name) for name in ORDERS]
    assert all(url in owner.get(page_of(run)).text for url in asked)
    assert not any(url in viewer.get(page_of(run)).text for url in asked)
    assert viewer.post(asked[0], {"reason": "no"}).status_code == 404


def test_an_order_needs_a_reason_and_stands_in_the_audit(owner: Browser, run: Run) -> None:
    assert owner.post(order(run, "pause-rollout"), {"reason": ""}).status_code == 422
    assert owner.post(order(run, "pause-rollout"), {"reason": "a sale begins"}).status_code == 303
    text = owner.get(page_of(run)).text
    assert "a sale begins. The share stays; guardrails go on." in text
    assert order(run, "resume-rollout") in text and order(run, "pause-rollout") not in text
    with factories.inside(run):
        event = AuditEvent.objects.get(verb="rollout.pause")
    assert event.detail == {"step": 0, "reason": "a sale begins"}


def test_a_key_reads_a_rollout_and_aborts_it(acorn: Client, run: Run) -> None:
    program, base = Program(acorn), f"/pipelines/support/runs/{run.number}/rollout"
    found = program.get(base).json()
    assert (found["status"], found["share"], found["version"], found["previous"]) == ("stepping", 0.05, "v2", "v1")
    assert [line["words"] for line in found["guardrails"]] == ["errors", "slow answers", "bad output"]
    assert program.post(f"{base}/abort", {"reason": "wrong data"}).json()["status"] == "rolling_back"
    refused = program.post(f"{base}/pause", {"reason": "too late"})
    assert refused.status_code == 409 and "nothing to pause" in refused.json()["error"]["message"]
    assert program.post(f"{base}/explode", {"reason": "?"}).status_code == 422


def test_the_replay_shows_what_is_answered_differently_worst_first(viewer: Browser, run: Run) -> None:
    with factories.inside(run):
        rollout = Rollout.objects.get(run=run)
        for n, (old, new, is_bad) in enumerate(
            [("billing", "billing", False), ("billing", "<b>none</b>", True), ("returns", "delivery", False)]
        ):
            fields = {"host": "shop", "arm": "", "key_hash": str(n), "status": 200, "at": now(), "finished_at": now()}
            row = Exchange.of(rollout, pipeline=run.pipeline, version=rollout.previous, request_id=f"r{n}", **fields)
            row.save()
            asked = json.dumps({"messages": [{"role": "user", "content": f"Question {n}"}]})
            body = Body.of(row, pipeline=run.pipeline, exchange=row, request=asked, prompt_digest=str(n), at=now())
            body.save()
            said = {"latency_ms": 5.0, "is_error": False}
            sides = {
                "production": said | {"text": old, "is_bad": False},
                "candidate": said | {"text": new, "is_bad": is_bad},
            }
            ReplayPair.of(
                rollout, rollout=rollout, body=body, phase="canary", prompt_digest=str(n), at=now(), **sides
            ).save()
    response = viewer.get(page_of(run, "replay"))
    assert "2 of 3 recent prompts are answered differently by v2 than by v1" in response.text
    assert [line.change for line in response.context["page"].object_list] == ["lost", "reworded"]
    assert "&lt;b&gt;" in response.text and "<b>none" not in response.text
    same = viewer.get(page_of(run, "replay") + "?change=same")
    assert [line.said for line in same.context["page"].object_list] == ["Question 0"]


def test_there_is_no_watch_before_100_percent(viewer: Browser, run: Run) -> None:
    assert viewer.get(page_of(run, "watch")).status_code == 404


def test_the_watch_draws_the_band_of_the_version_before_where_there_was_one(viewer: Browser, run: Run) -> None:
    began = now() - timedelta(hours=2)
    with factories.inside(run):
        rollout = Rollout.objects.get(run=run)
        Rollout.objects.filter(pk=rollout.pk).update(status="live", live_at=began)
        for version, since, bad in ((rollout.previous, timedelta(hours=20), 3), (rollout.version, timedelta(), 4)):
            for minute in range(0, 100, 10):
                counts = {"requests": 40, "errors": bad, "bad": 0, "latency": {}}
                at = (began - since + timedelta(minutes=minute)).replace(second=0, microsecond=0)
                Traffic.of(rollout, pipeline=run.pipeline, version=version, host="shop", minute=at, **counts).save()
    page = viewer.get(page_of(run, "watch"))
    errors = page.context["page"].charts[0]
    assert (errors.live, errors.baseline) == (0.1, 0.075)
    assert 'class="band"' in page.text and "band: what v1 did" in page.text
    with factories.inside(run):
        Rollout.objects.filter(pk=rollout.pk).update(previous=None)
    alone = viewer.get(page_of(run, "watch")).text
    assert 'class="band"' not in alone and "before" not in alone.partition("<main")[2]
    assert "no band: the first version of its pipeline" in alone


def test_where_applications_call_the_hosts_no_split_and_no_route_is_spoken_of(viewer: Browser, acorn: Client) -> None:
    pipeline = factories.make_pipeline(acorn, rollout={"mode": "alias"})
    factories.make_production(pipeline, now() - timedelta(days=2))
    run = factories.make_run(pipeline, at="deploy", status="waiting", now=now() - timedelta(hours=1))
    with factories.inside(acorn):
        fields = {"version": run.model_version, "previous": PipelineState.objects.get(pipeline=pipeline).production}
        rollout = Rollout.of(run, run=run, pipeline=pipeline, status="stepping", created_at=now(), **fields)
        rollout.save()
        canary.begin(rollout, now())

    page = viewer.get(page_of(run)).text

    assert "Applications call the hosts directly." in page
    assert "Live split" not in page and "one change of the route" not in page
