"""Adoption: what runs on a host becomes v0, takes the traffic, is a baseline and a way back; the rest is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client as Browser
from django.urls import reverse

from agency.gateway.routes.loading import load_client
from pipelines import actions
from pipelines.actions import ActionRefused
from pipelines.actions import hosts as acts
from pipelines.cards import version_yaml
from pipelines.fleet import look
from pipelines.heavy.arms import on_host
from pipelines.hosts.fake import FakeHost
from pipelines.models import ModelVersion, PipelineState, Placement, Rollback, Route, Run
from pipelines.shipping.rollback import is_warm, obstacle
from tenants.actions import change_settings
from tenants.models import AuditEvent, Client, Host, HostDrift, Pipeline
from tests import factories
from tests.conftest import Clock
from tests.web.test_api_work import Program

pytestmark = pytest.mark.django_db
NAME = "llama3.2:1b"
MODEL = {"blob": "sha256:" + "ab" * 32, "parameters": {}, "template": "{{ .Prompt }}", "system": "Be kind."}


@pytest.fixture
def pipeline(acorn: Any) -> Iterator[Pipeline]:
    made = factories.make_pipeline(acorn, criteria={"evaluate_on": "host"})
    with factories.inside(made):
        yield made


@pytest.fixture
def fake(pipeline: Pipeline, tmp_path: Path, clock: Clock) -> FakeHost:
    made = FakeHost(str(tmp_path / "fake"))
    (made.root / "blobs" / ("sha256-" + "ab" * 32)).write_bytes(b"x" * 1000)
    made._change("names.json", {NAME: MODEL})
    Host.objects.update(kind="fake", url=f"fake://{made.root}", due_at=clock.now)
    look.look_at(Host.objects.get().pk, clock.now)
    return made


def adopt(pipeline: Pipeline, clock: Clock, name: str = NAME, reason: str = "served so far") -> ModelVersion:
    return acts.adopt(pipeline, Host.objects.get(name="shop"), name, actor="owner", reason=reason, now=clock.now)


def test_it_becomes_v0_and_answers_the_traffic(pipeline: Pipeline, fake: FakeHost, clock: Clock) -> None:
    version = adopt(pipeline, clock)

    assert (version.label, version.status, version.gguf_digest) == ("v0", "production", "ab" * 32)
    assert PipelineState.objects.get().production == version and Route.objects.get().production == version
    routes = load_client(pipeline.client_id)
    target = routes.pipelines["support"].target(0) if routes else None
    assert target is not None and [place.model_name for place in target.places] == [NAME]
    assert AuditEvent.objects.filter(verb="pipeline.adopt").count() == 1
    assert fake.effects() == [], "nothing on the host was changed"
    assert "adopted" in version_yaml(version)


def test_the_digest_is_watched_from_then_on(pipeline: Pipeline, fake: FakeHost, clock: Clock) -> None:
    adopt(pipeline, clock)
    fake._change("names.json", {NAME: MODEL | {"system": "Be rude."}})
    Host.objects.update(due_at=clock.advance(minutes=6), drift_policy="repair")

    look.look_at(Host.objects.get().pk, clock.now)

    assert HostDrift.objects.get().kind == "digest" and "adopted" in HostDrift.objects.get().repair_error
    assert fake.effects() == [], "its name is not ours, whatever the policy says"


def test_a_later_version_is_measured_against_it_on_its_host(
    pipeline: Pipeline, fake: FakeHost, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    v0 = adopt(pipeline, clock)
    run = factories.make_run(pipeline, at="evaluate")
    monkeypatch.setattr("pipelines.heavy.arms.place_on", lambda row, version, work: ("ours:v1", "cc"))

    class Work:
        job = type("Job", (), {"run": run})

    asked = on_host(Work(), {"candidate": run.model_version, "production": v0})  # type: ignore[arg-type]

    assert asked["names"] == {"candidate": "ours:v1", "production": NAME}
    assert asked["digests"]["production"] == Placement.objects.get(version=v0).facts["manifest_digest"]


def test_traffic_can_go_back_to_it(pipeline: Pipeline, fake: FakeHost, clock: Clock) -> None:
    v0 = adopt(pipeline, clock)
    run = factories.make_production(pipeline)
    v0.refresh_from_db()
    ModelVersion.objects.filter(pk=v0.pk).update(status="archived")
    route = Route.objects.get()

    assert obstacle(route, v0) == ""
    assert is_warm(route, v0)
    actions.roll_back(pipeline, to=v0, actor="owner", reason="worse", now=clock.now)

    assert Route.objects.get().production == v0
    assert Rollback.objects.get().from_version == run.model_version


def test_what_cannot_be_adopted_is_refused_with_the_way_out(pipeline: Pipeline, fake: FakeHost, clock: Clock) -> None:
    for name, reason, sentence in (
        ("nobody:1b", "served so far", "has no model"),
        ("deploy.invalid/acorn/support:v1", "served so far", "a name of ours"),
        (NAME, " ", "Say why"),
    ):
        with pytest.raises(ActionRefused, match=sentence):
            adopt(pipeline, clock, name, reason)
    fake.fail("down")
    with pytest.raises(ActionRefused, match="does not answer"):
        adopt(pipeline, clock)
    fake.fail("")
    body = pipeline.settings.model_dump(mode="json")
    change_settings(pipeline, body | {"criteria": body["criteria"] | {"evaluate_on": "worker"}}, "owner", clock.now)
    with pytest.raises(ActionRefused, match="Measure on"):
        adopt(pipeline, clock)

    assert not ModelVersion.objects.exists() and not Run.objects.exists()


def test_a_pipeline_with_versions_adopts_nothing(pipeline: Pipeline, fake: FakeHost, clock: Clock) -> None:
    adopt(pipeline, clock)
    with pytest.raises(ActionRefused, match="versions already"):
        adopt(pipeline, clock)


def test_a_key_names_it_by_its_number(pipeline: Pipeline, fake: FakeHost, clock: Clock, acorn: Client) -> None:
    v0 = adopt(pipeline, clock)
    factories.make_production(pipeline)
    ModelVersion.objects.filter(pk=v0.pk).update(status="archived")
    program = Program(acorn)

    prompted = program.post("/pipelines/support/runs", {"prompt": {"version": 0, "system": "One word."}})
    back = program.post("/pipelines/support/rollback", {"reason": "worse", "to": 0})

    assert (prompted.status_code, "of v0" in prompted.json()["error"]["message"]) == (409, True)
    assert (back.status_code, back.json()["to_version"]) == (201, "v0")


def test_by_page(pipeline: Pipeline, fake: FakeHost, engineer: Browser) -> None:
    here = reverse("adopt", args=["acorn", "shop"])
    assert "cannot be fetched" in engineer.get(here).text
    refused = engineer.post(here, {"model": NAME, "pipeline": "support", "reason": ""})
    done = engineer.post(here, {"model": NAME, "pipeline": "support", "reason": "served so far"}, follow=True)

    assert refused.status_code == 422 and done.status_code == 200
    assert "v0" in done.text and NAME in engineer.get(reverse("host", args=["acorn", "shop"])).text
    for name in ("pipeline", "versions", "runs"):
        assert engineer.get(reverse(name, args=["acorn", "support"])).status_code == 200
    assert engineer.get(reverse("run", args=["acorn", "support", 1])).status_code == 200


def test_by_command(pipeline: Pipeline, fake: FakeHost, capsys: Any) -> None:
    call_command("adopt", "acorn/support", "shop", NAME, "--reason", "served so far")

    said = capsys.readouterr()
    assert "is v0 of" in said.out and "cannot be fetched" in said.err
