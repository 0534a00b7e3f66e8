"""Runs, versions, rollbacks, triggers and feedback over the API."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import yaml
from django.http import HttpResponse
from django.test import Client as Browser

from pipelines.artifacts import store_of
from pipelines.models import Exchange, Feedback, ModelVersion, TriggerDecision
from tenants import freezing, scope
from tenants.models import AuditEvent, Client, Pipeline
from tests import factories

BASE = "/rest/v1"


@pytest.fixture
def pipeline(acorn: Client) -> Pipeline:
    return factories.make_pipeline(acorn)


class Program:
    """A caller with a key that may do everything."""

    def __init__(self, client: Client) -> None:
        self.browser = Browser()
        self.headers = {"Authorization": f"Bearer {factories.make_key(client)}"}

    def get(self, path: str) -> HttpResponse:
        return self.browser.get(BASE + path, headers=self.headers)

    def post(self, path: str, body: dict[str, Any]) -> HttpResponse:
        return self.browser.post(BASE + path, body, content_type="application/json", headers=self.headers)


@pytest.fixture
def program(acorn: Client) -> Program:
    return Program(acorn)


def test_a_run_is_started_by_a_key_and_a_second_one_is_refused_with_a_sentence(
    program: Program, pipeline: Pipeline
) -> None:
    started = program.post("/pipelines/support/runs", {"reason": "fresh data"})
    second = program.post("/pipelines/support/runs", {})

    assert (started.status_code, started.json()["number"]) == (201, 1)
    assert started.json()["occasion"]["kind"] == "api"
    assert (second.status_code, second.json()["error"]["code"]) == (409, "refused")
    assert "still live" in second.json()["error"]["message"]
    with factories.inside(pipeline):
        assert AuditEvent.objects.get(verb="run.start").actor.startswith("key-")


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "application/xml"])
def test_a_body_that_is_no_json_is_refused_whatever_its_type_says(
    program: Program, pipeline: Pipeline, kind: str
) -> None:
    path = f"{BASE}/pipelines/support/runs"
    refused = program.browser.post(path, "<run/>", content_type=kind, headers=program.headers)
    taken = program.browser.post(path, '{"reason": "fresh data"}', content_type=kind, headers=program.headers)

    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "bad_request")
    assert taken.status_code == 201


def test_an_unknown_field_is_refused_and_named(program: Program, pipeline: Pipeline) -> None:
    response = program.post("/pipelines/support/runs", {"reson": "typo"})

    assert response.status_code == 422
    assert "reson" in response.json()["error"]["message"]


def test_a_run_shows_its_stages_gates_events_jobs_and_checks(program: Program, pipeline: Pipeline) -> None:
    factories.make_production(pipeline)

    run = program.get("/pipelines/support/runs/1").json()

    assert (run["status"], run["version"]) == ("succeeded", "v1")
    assert [stage["stage"] for stage in run["stages"]] == list(factories.STAGES)
    assert {gate["name"] for gate in run["gates"]} >= {"accuracy", "regression", "safety"}
    assert [event["seq"] for event in run["events"]] == sorted(event["seq"] for event in run["events"])
    assert {check["phase"] for check in run["checks"]} == {"canary", "monitor"}
    assert run["jobs"][0]["progress"]["progress"] == 1.0


def test_lists_come_in_pages_that_meet_without_gap_or_overlap(program: Program, pipeline: Pipeline) -> None:
    for _number in range(5):
        factories.make_run(pipeline, at="validate", status="stopped")

    first = program.get("/pipelines/support/runs?limit=2").json()
    second = program.get(f"/pipelines/support/runs?limit=2&before={first['next']}").json()
    last = program.get(f"/pipelines/support/runs?limit=2&before={second['next']}").json()

    numbers = [run["number"] for page in (first, second, last) for run in page["items"]]
    assert numbers == [5, 4, 3, 2, 1]
    assert last["next"] is None
    assert program.get("/pipelines/support/runs?limit=1000").status_code == 422


def test_a_pipeline_says_what_is_in_production(program: Program, pipeline: Pipeline) -> None:
    factories.make_production(pipeline)

    (shown,) = program.get("/pipelines").json()

    assert shown == program.get("/pipelines/support").json()
    assert (shown["production"], shown["latest_run"], shown["settings_revision"]) == ("v1", 1, 1)


def test_a_key_pauses_and_resumes_and_a_run_is_refused_meanwhile(program: Program, pipeline: Pipeline) -> None:
    paused = program.post("/pipelines/support/pause", {"reason": "new catalogue"})
    refused = program.post("/pipelines/support/runs", {"reason": "fresh data"})
    resumed = program.post("/pipelines/support/resume", {"reason": "it is here"})

    assert paused.json()["is_paused"] and paused.json()["pause"].endswith(": new catalogue")
    assert refused.status_code == 409 and "new catalogue. Resume it" in refused.json()["error"]["message"]
    assert (resumed.status_code, resumed.json()["pause"]) == (200, "")
    assert program.post("/pipelines/support/pause", {"reason": ""}).status_code == 422


def test_a_version_card_holds_every_fact_and_the_yaml_says_the_same(program: Program, pipeline: Pipeline) -> None:
    run = factories.make_production(pipeline)

    card = program.get("/pipelines/support/versions/1").json()
    text = program.get("/pipelines/support/versions/1/version.yaml")

    assert yaml.safe_load(text.content) == card
    assert text["Content-Type"].startswith("application/yaml")
    assert (card["client"], card["pipeline"], card["version"], card["run"]["number"]) == ("acorn", "support", "v1", 1)
    assert card["dataset"] | {"rows_total": 12, "rows_new": 12} == card["dataset"]
    assert card["gguf"]["digest"] == run.model_version.gguf_digest
    assert card["training"]["hyperparameters"]["lora_rank"] == 16
    assert card["scorecard"]["metrics"]["accuracy"]["candidate"] == 0.912
    assert [gate["verdict"] for gate in card["gates"]] == ["passed"] * 6
    assert card["settings_revision"]["number"] == 1
    assert card["placements"][0]["host"] == "shop"
    assert {"base_model", "conversion", "template_digest", "approved_by", "created_at", "promoted_at"} <= card.keys()
    (listed,) = program.get("/pipelines/support/versions").json()["items"]
    assert (listed["label"], listed["status"]) == ("v1", "production")


def test_a_rollback_with_nowhere_to_go_is_refused(program: Program, pipeline: Pipeline) -> None:
    nothing = program.post("/pipelines/support/rollback", {"reason": "angry users"})
    factories.make_production(pipeline)
    only_one = program.post("/pipelines/support/rollback", {"reason": "angry users"})
    unknown = program.post("/pipelines/support/rollback", {"reason": "angry users", "to": 7})
    no_reason = program.post("/pipelines/support/rollback", {"to": 1})

    assert [r.status_code for r in (nothing, only_one, unknown, no_reason)] == [409, 409, 404, 422]


def two_versions(pipeline: Pipeline) -> None:
    """v2 is in production; v1 is archived and its bytes are still in the store."""
    first = factories.make_production(pipeline)
    with factories.inside(pipeline):
        digest = store_of(pipeline.client_id).put_bytes(b"GGUF of v1")
        ModelVersion.objects.filter(run=first).update(status="archived", gguf_digest=digest)
    factories.make_production(pipeline)


@pytest.mark.parametrize("order", [{}, {"to": 1}])
def test_a_key_takes_production_back_and_the_log_keeps_who_and_why(
    program: Program, pipeline: Pipeline, order: dict[str, int]
) -> None:
    two_versions(pipeline)

    done = program.post("/pipelines/support/rollback", {"reason": "angry users"} | order)

    assert (done.status_code, done.json()["from_version"], done.json()["to_version"]) == (201, "v2", "v1")
    assert program.get("/pipelines/support").json()["production"] == "v1"
    (logged,) = program.get("/rollbacks?pipeline=support").json()["items"]
    assert logged == done.json()
    assert logged["decided_by"].startswith("key-")
    assert "angry users" in logged["sentence"]


def test_feedback_finds_its_answer_by_request_id(program: Program, pipeline: Pipeline) -> None:
    run = factories.make_production(pipeline)
    with factories.inside(pipeline):
        times = {"at": factories.NOW, "finished_at": factories.NOW + timedelta(seconds=1)}
        fields = {"version": run.model_version, "request_id": "abc", "host": "shop", "arm": "production", "status": 200}
        Exchange.of(pipeline, pipeline=pipeline, key_hash="0" * 32, **fields, **times).save()

    said = program.post("/feedback", {"request_id": "abc", "is_good": False, "correct_answer": "returns"})
    unknown = program.post("/feedback", {"request_id": "abd", "is_good": True})

    assert (said.status_code, said.json()["version"], said.json()["is_good"]) == (201, "v1", False)
    assert unknown.status_code == 409
    with factories.inside(pipeline):
        row = Feedback.objects.get()
    assert (row.correct_answer, row.sent_by.startswith("key-")) == ("returns", True)


def test_the_trigger_ledger_says_why_not_yet(program: Program, pipeline: Pipeline) -> None:
    with factories.inside(pipeline):
        fields = {"at": factories.NOW, "started": False, "reason": "120 of 500 new examples"}
        TriggerDecision.of(pipeline, pipeline=pipeline, **fields).save()

    (row,) = program.get("/trigger-decisions?pipeline=support").json()["items"]

    assert (row["started"], row["reason"], row["run"]) == (False, "120 of 500 new examples", None)
    assert program.get("/trigger-decisions").json()["items"] == [row]


def test_an_error_nobody_foresaw_is_json_with_a_number_to_quote(
    program: Program, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*args: object, **kwargs: object) -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr("agency.api.routers.runs.start_run", broken)

    response = program.post("/pipelines/support/runs", {})

    assert (response.status_code, response.json()["error"]["code"]) == (500, "internal")
    number = response.json()["error"]["message"].split()[-1].rstrip(".")
    assert number in caplog.text
    assert "secret detail" not in response.content.decode()


def test_a_key_that_lifts_one_of_two_freezes_hears_of_the_other(program: Program, pipeline: Pipeline) -> None:
    with scope.agency_scope(pipeline.agency_id):
        freezing.freeze(pipeline.client.agency, actor="ann", reason="audit", now=factories.NOW)
    made = program.post("/freezes", {"reason": "year end", "pipeline": "support"}).json()

    lifted = program.post(f"/freezes/{made['id']}/lift", {"reason": "over"})

    assert lifted.json()["in_force"] is False
    assert lifted.json()["said"] == "Lifted. Rollouts wait all the same: agency is frozen by ann: audit"


def test_a_gate_is_waived_and_the_waiver_ended_by_a_key_that_answers_for_it(
    program: Program, pipeline: Pipeline
) -> None:
    waivers = "/pipelines/support/waivers"
    made = program.post(waivers, {"gate": "accuracy", "reason": "a relabelled set", "days": 7})
    wrong = program.post(waivers, {"gate": "size", "reason": "a relabelled set", "days": 7})
    ended = program.post(f"{waivers}/{made.json()['id']}/end", {"reason": "measured again"})
    again = program.post(f"{waivers}/{made.json()['id']}/end", {"reason": "measured again"})

    assert (made.status_code, made.json()["in_force"]) == (201, True)
    assert made.json()["approver"].startswith("key-")
    assert (wrong.status_code, wrong.json()["error"]["message"]) == (
        409,
        "Gate size does not block: there is nothing to waive.",
    )
    assert (ended.status_code, ended.json()["in_force"]) == (200, False)
    assert ended.json()["said"] == "Withdrawn. The gate decides again."
    assert again.status_code == 409
    assert [row["gate"] for row in program.get(waivers).json()["items"]] == ["accuracy"]
    with factories.inside(pipeline):
        assert AuditEvent.objects.filter(verb__in=["gate.waive", "gate.unwaive"]).count() == 2
