"""Versions leave their hosts when nobody goes back to them soon; production and its predecessor never do."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils.timezone import now

from agency.leaving.erasing import carry_out
from pipelines import actions, plan
from pipelines.actions.clients.erasure import order_erasure
from pipelines.artifacts import store_of
from pipelines.engine.jobs import work_on
from pipelines.heavy.retiring import job as retiring
from pipelines.heavy.retiring.choice import expendable
from pipelines.hosts.fake import FakeHost
from pipelines.models import Job, Placement, Rollout, Route
from pipelines.plan import JOBS
from pipelines.retention import retire_versions
from tenants import scope
from tenants.actions import change_settings
from tenants.models import Host, Pipeline
from tests.flow import fake_jobs
from tests.flow.test_line import start
from tests.flow.test_rollback import lived, version


@pytest.fixture
def host(pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHost:
    for kind in ("build", "push"):
        monkeypatch.setitem(plan.JOBS, kind, fake_jobs.ON_HOSTS[kind])
    url = f"fake://{tmp_path / 'host'}"
    Host.objects.filter(client_id=pipeline.client_id).update(kind="fake", url=url)
    body = pipeline.settings.model_dump(mode="json")
    change_settings(pipeline, body | {"rollout": body["rollout"] | {"keep_on_hosts": 2}}, "owner", now())
    return FakeHost(url)


def standing(host: FakeHost) -> set[str]:
    return {tag.name.rpartition(":")[2] for tag in host.tags()}


def test_what_is_past_the_number_to_keep_is_unloaded_and_deleted_and_comes_back_by_a_rollback(
    pipeline: Pipeline, add_rows: Callable[..., None], host: FakeHost
) -> None:
    lived(pipeline, add_rows, 4)
    assert retire_versions(now()) == 2
    assert standing(host) == {"v3", "v4"}
    assert [effect["name"][-2:] for effect in host.effects("unload")] == ["v1", "v2"]
    gone = Placement.objects.filter(status="retired").order_by("version__number")
    assert [(row.version.number, "retired_at" in row.facts) for row in gone] == [(1, True), (2, True)]
    assert retire_versions(now()) == 0, "what is gone is not ordered again"
    actions.roll_back(pipeline, to=version(1), actor="owner", reason="back to the start", now=now())
    assert Route.objects.get(pipeline=pipeline).production.number == 1
    assert "v1" in standing(host)


def test_a_version_that_never_served_makes_no_room_for_itself(
    pipeline: Pipeline, add_rows: Callable[..., None], host: FakeHost
) -> None:
    lived(pipeline, add_rows, 2)
    add_rows(7000, 30)
    run = start(pipeline)
    assert expendable(pipeline, now()) == [], "its canary lives"
    actions.roll_back(pipeline, to=None, actor="owner", reason="a client complained", now=now())
    assert expendable(pipeline, now()) == [], "hosts are still being told"
    Rollout.objects.filter(run=run).update(status="rolled_back")
    assert [row.version for row in expendable(pipeline, now())] == [run.model_version]


def test_what_the_store_could_not_send_again_stays_where_it_is(
    pipeline: Pipeline, add_rows: Callable[..., None], host: FakeHost
) -> None:
    lived(pipeline, add_rows, 3)
    path = store_of(pipeline.client_id).path(version(1).gguf_digest)
    path.unlink()
    assert expendable(pipeline, now()) == []


def test_a_version_that_became_needed_before_its_turn_stays(
    pipeline: Pipeline, add_rows: Callable[..., None], host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    lived(pipeline, add_rows, 3)
    monkeypatch.setattr(retiring.dispatch, "work_job", lambda *_: None)
    assert retire_versions(now()) == 1
    Route.objects.filter(pipeline=pipeline).update(production=version(1))
    job = Job.objects.get(kind__startswith="retire")
    assert work_on(job.pk, JOBS, now)
    assert Job.objects.get(pk=job.pk).result == {"kept": Placement.objects.get(version=version(1)).model_name}
    assert "v1" in standing(host)


def test_a_host_that_is_down_is_tried_again_and_keeps_nobody_waiting(
    pipeline: Pipeline, add_rows: Callable[..., None], host: FakeHost
) -> None:
    lived(pipeline, add_rows, 3)
    host.fail("down")
    assert retire_versions(now()) == 1
    job = Job.objects.get(kind__startswith="retire")
    assert (job.status, job.attempts) == ("queued", 1)
    assert Placement.objects.get(version=version(1)).status == "retired", "nobody counts on it any more"
    host.fail("")
    assert work_on(job.pk, JOBS, lambda: now() + timedelta(hours=1))
    assert standing(host) == {"v2", "v3"}


def given_up(pipeline: Pipeline, host: FakeHost) -> Job:
    """The host was down for every attempt to take v1 off it."""
    host.fail("down")
    assert retire_versions(now()) == 1
    job = Job.objects.get(kind__startswith="retire")
    for hour in range(1, job.max_attempts + 1):
        work_on(job.pk, JOBS, lambda hour=hour: now() + timedelta(hours=hour))
    host.fail("")
    job.refresh_from_db()
    assert (job.status, "v1" in standing(host)) == ("failed", True)
    return job


def test_what_a_host_that_was_down_still_holds_is_ordered_off_it_again(
    pipeline: Pipeline, add_rows: Callable[..., None], host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    lived(pipeline, add_rows, 3)
    with monkeypatch.context() as patch:
        patch.setattr(retiring.dispatch, "work_job", lambda *_: None)
        given_up(pipeline, host)
        assert retire_versions(now() + timedelta(hours=6)) == 0, "once a day"
        assert retire_versions(now() + timedelta(days=2)) == 1
    work_on(Job.objects.get(kind__startswith="retire", status="queued").pk, JOBS, lambda: now() + timedelta(days=2))
    assert standing(host) == {"v2", "v3"}
    assert retire_versions(now() + timedelta(days=4)) == 0, "the host has said that it is gone"


def test_what_was_given_up_and_is_needed_again_stays(
    pipeline: Pipeline, add_rows: Callable[..., None], host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rollback is bringing v1 back; it is recorded as placed once that is through."""
    lived(pipeline, add_rows, 3)
    monkeypatch.setattr("pipelines.engine.dispatch.work_job", lambda *_: None)
    given_up(pipeline, host)
    actions.roll_back(pipeline, to=version(1), actor="owner", reason="back to the start", now=now())
    assert retire_versions(now() + timedelta(days=2)) == 1
    job = Job.objects.get(kind__startswith="retire", status="queued")
    Job.objects.filter(pk=job.pk).update(due_at=now())
    assert work_on(job.pk, JOBS, now)
    job.refresh_from_db()
    assert ("kept" in job.result, "v1" in standing(host)) == (True, True)


def test_an_erasure_takes_off_what_a_host_that_was_down_still_holds(
    pipeline: Pipeline, add_rows: Callable[..., None], host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    lived(pipeline, add_rows, 3)
    monkeypatch.setattr(retiring.dispatch, "work_job", lambda *_: None)
    given_up(pipeline, host)
    client = pipeline.client
    said = {"actor": "owner", "reason": "the contract ended", "now": now()}
    with scope.agency_scope(client.agency_id):
        carry_out(order_erasure(client, client.name, **said), now())
    assert standing(host) == set()
