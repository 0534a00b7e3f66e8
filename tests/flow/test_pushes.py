"""The push of a version to several hosts at once: each for itself, and none touches production."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from django.utils.timezone import now

from pipelines import actions, plan
from pipelines.engine.jobs import Work
from pipelines.heavy.push import Told
from pipelines.hosts.fake import FakeHost
from pipelines.models import Job, Placement, Route
from tenants.actions import change_settings
from tenants.models import Host, Pipeline
from tests import factories
from tests.flow import fake_jobs
from tests.flow.test_line import later, promoted, start


@pytest.fixture
def hosts(pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, FakeHost]:
    """Two hosts in folders; the jobs that call them are the real ones."""
    for kind in ("build", "push"):
        monkeypatch.setitem(plan.JOBS, kind, fake_jobs.ON_HOSTS[kind])
    factories.make_host(pipeline.client, "barn")
    change_settings(pipeline, pipeline.settings.model_dump(mode="json") | {"hosts": []}, "owner", now())
    found = {}
    for row in Host.objects.filter(client_id=pipeline.client_id):
        row.kind, row.url = "fake", f"fake://{tmp_path / row.name}"
        row.save()
        found[row.name] = FakeHost(row.url)
    return found


def test_a_host_that_breaks_off_in_a_create_is_asked_once_and_a_person_goes_on(
    pipeline: Pipeline, add_rows: Callable[..., None], hosts: dict[str, FakeHost]
) -> None:
    add_rows(0, 30)
    promoted(pipeline)
    before = {name: host._read("names.json") for name, host in hosts.items()}
    broken, whole = hosts["barn"], hosts[next(name for name in hosts if name != "barn")]
    broken.fail("lost")
    add_rows(100, 30)
    run = later(start(pipeline), 5)
    assert run.status == "held"
    assert "look at its log" in run.reason
    job = Job.objects.get(run=run, kind="push:barn")
    assert (job.status, job.attempts, job.is_permanent) == ("failed", 1, False)
    assert Placement.objects.get(version=run.model_version).host.name != "barn"
    assert broken._read("names.json") == before["barn"], "production is as it was"
    assert before[next(n for n in hosts if n != "barn")].items() <= whole._read("names.json").items()
    assert Route.objects.get(pipeline=pipeline).production.number == 1

    broken.fail("")
    actions.approve(run, actor="owner", reason="looked at its log", now=now())
    run = later(run, 5)
    assert Placement.objects.filter(version=run.model_version, status="placed").count() == 2
    assert len(whole.effects("create")) == 2, "what stood there was not made again"


def test_a_push_shows_what_it_has_sent_and_how_fast(pipeline: Pipeline) -> None:
    work = Work(Job())
    told = Told(work)
    told.sent(500_000, 2_000_000)
    told.step("loading")
    assert work.progress["note"] == "loading"
    assert work.progress["numbers"]["sent_mb"] == 0.5
    assert work.progress["numbers"]["of_mb"] == 2.0
