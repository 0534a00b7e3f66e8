"""Taking versions back: who may move traffic afterwards, and what a version that is not loaded must show first."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils.timezone import now

from pipelines import actions, plan
from pipelines.artifacts import store_of
from pipelines.engine.jobs import work_on
from pipelines.hosts.fake import FakeHost
from pipelines.models import Exchange, Job, ModelVersion, Placement, Rollback, Rollout, Route, Run
from pipelines.shipping.promotion import promote
from pipelines.shipping.rollback import Finding, take_back
from pipelines.shipping.route import RolloutOver, flip
from tenants.models import Host, Pipeline
from tests.flow import fake_jobs
from tests.flow.test_line import promoted, start, watched

SLOW = Finding("canary", "slow", "slow beyond chance", {"p": 0.001})


@pytest.fixture
def host(pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHost:
    """The pipeline's host, in a folder; models are tiny and real."""
    monkeypatch.setitem(plan.JOBS, "build", fake_jobs.build_gguf)
    monkeypatch.setitem(plan.JOBS, "push", fake_jobs.ON_HOSTS["push"])
    url = f"fake://{tmp_path / 'host'}"
    Host.objects.filter(client_id=pipeline.client_id).update(kind="fake", url=url)
    return FakeHost(url)


def version(number: int) -> ModelVersion:
    return ModelVersion.objects.select_related("run", "pipeline", "client").get(number=number)


def lived(pipeline: Pipeline, add_rows: Callable[..., None], count: int) -> None:
    """So many versions, each promoted after the other, each watched to its end."""
    add_rows(0, 30)
    promoted(pipeline)
    for n in range(1, count):
        add_rows(1000 * n, 30)
        run = start(pipeline)
        promote(Rollout.objects.get(run=run), now())
        watched(run)


def route_of(pipeline: Pipeline) -> tuple[int, int | None, int]:
    row = Route.objects.select_related("production", "candidate").get(pipeline=pipeline)
    return row.production.number, row.candidate.number if row.candidate else None, row.candidate_bp


def test_what_was_decided_before_a_rollback_moves_no_traffic_after_it(
    pipeline: Pipeline, add_rows: Callable[..., None]
) -> None:
    lived(pipeline, add_rows, 1)
    add_rows(1000, 30)
    late = Rollout.objects.select_related("version", "previous", "run").get(run=start(pipeline))
    actions.roll_back(pipeline, to=None, actor="owner", reason="a client complained", now=now())
    with pytest.raises(RolloutOver):
        flip(late.beside, now(), candidate=late.version, share=0.25, rollout=late)
    with pytest.raises(RolloutOver):
        promote(late, now())
    assert not take_back(late, late.beside, SLOW, "canary analysis", now())
    assert route_of(pipeline) == (1, None, 0)
    assert Rollback.objects.count() == 1


def test_production_taken_back_during_a_canary_ends_the_canary_and_never_returns(
    pipeline: Pipeline, add_rows: Callable[..., None], host: FakeHost
) -> None:
    lived(pipeline, add_rows, 2)
    add_rows(5000, 30)
    run = start(pipeline)
    assert route_of(pipeline) == (2, 3, 500)
    actions.roll_back(pipeline, to=version(1), actor="owner", reason="v2 is rude", now=now())
    assert route_of(pipeline) == (1, None, 0)
    run = Run.objects.get(pk=run.pk)
    assert (run.status, run.reason) == ("cancelled", "v2, which it was judged beside, was taken back")
    assert [version(n).status for n in (1, 2, 3)] == ["production", "rolled_back", "archived"]
    assert Rollout.objects.get(run=run).status == "rolled_back"


def test_a_version_that_is_not_loaded_is_proven_before_it_gets_traffic(
    pipeline: Pipeline, add_rows: Callable[..., None], host: FakeHost
) -> None:
    lived(pipeline, add_rows, 3)
    name = f"deploy.invalid/{pipeline.client.slug}/support:v1"
    host.unload(name)
    host.delete(name)
    Placement.objects.filter(version=version(1)).update(status="deleted")
    made = actions.roll_back(pipeline, to=version(1), actor="owner", reason="back to the start", now=now())
    made.refresh_from_db()
    assert made.flipped_at is not None and made.hosts == {"shop": "ok"}
    assert route_of(pipeline) == (1, None, 0)
    assert name in {tag.name for tag in host.tags()}
    assert Placement.objects.get(version=version(1)).status == "placed"


def test_a_version_whose_bytes_are_not_whole_gets_no_traffic(
    pipeline: Pipeline, add_rows: Callable[..., None], host: FakeHost
) -> None:
    lived(pipeline, add_rows, 3)
    path = store_of(pipeline.client_id).path(version(1).gguf_digest)
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    made = actions.roll_back(pipeline, to=version(1), actor="owner", reason="back to the start", now=now())
    made.refresh_from_db()
    assert made.flipped_at is None
    assert route_of(pipeline) == (3, None, 0)
    job = Job.objects.get(kind=f"bring:{made.pk}")
    assert job.error and job.status in ("queued", "failed")


def test_a_host_that_does_not_answer_leaves_the_traffic_where_it_is(
    pipeline: Pipeline, add_rows: Callable[..., None], host: FakeHost
) -> None:
    lived(pipeline, add_rows, 3)
    host.fail("down")
    made = actions.roll_back(pipeline, to=version(1), actor="owner", reason="back to the start", now=now())
    made.refresh_from_db()
    assert made.flipped_at is None and made.hosts["shop"] != "ok"
    assert "v1 answers on no host, traffic stays where it is" in Job.objects.get(kind=f"bring:{made.pk}").error
    host.fail("")
    assert route_of(pipeline) == (3, None, 0)


def test_an_answer_that_ends_long_after_the_rollback_counts_in_its_seconds(
    pipeline: Pipeline, add_rows: Callable[..., None], host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(plan.JOBS, "restore", fake_jobs.ON_HOSTS["restore"])
    monkeypatch.setattr("pipelines.heavy.restore.WATCH_S", 0.0)
    lived(pipeline, add_rows, 2)
    made = actions.roll_back(pipeline, to=None, actor="owner", reason="a client complained", now=now())
    made.refresh_from_db()
    assert made.seconds == 0
    times = {"at": made.decided_at - timedelta(seconds=1), "finished_at": made.decided_at + timedelta(seconds=55)}
    told = {"version": version(2), "request_id": "long", "host": "shop", "arm": "production", "status": 200}
    Exchange.of(pipeline, pipeline=pipeline, key_hash="0" * 32, **told, **times).save()
    again = Job.objects.get(kind=f"last:{made.pk}")
    assert again.due_at >= made.decided_at + timedelta(seconds=1)
    work_on(again.pk, plan.JOBS, lambda: again.due_at)
    made.refresh_from_db()
    assert made.seconds == 55


def test_going_back_to_what_is_still_on_its_way_up_is_refused(
    pipeline: Pipeline, add_rows: Callable[..., None]
) -> None:
    lived(pipeline, add_rows, 1)
    add_rows(1000, 30)
    start(pipeline)
    with pytest.raises(actions.ActionRefused, match="on its way up"):
        actions.roll_back(pipeline, to=version(2), actor="owner", reason="?", now=now())
    assert route_of(pipeline) == (1, 2, 500)
