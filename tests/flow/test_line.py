"""The whole line, tick by tick, with quick jobs and the eager engine."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
import yaml
from django.utils.timezone import now

from pipelines import actions
from pipelines.artifacts import store_of
from pipelines.engine import kernel
from pipelines.hosts.fake import FakeHost
from pipelines.models import (
    Example,
    GateResult,
    Job,
    ModelVersion,
    Notice,
    PipelineState,
    Rollout,
    Route,
    Run,
    RunEvent,
)
from pipelines.plan import JOBS, PLAN
from pipelines.shipping.promotion import promote
from pipelines.stages import deploy
from tenants.actions import change_settings
from tenants.models import Host, Pipeline
from tests.flow import fake_jobs


def events(run: Run) -> list[tuple[str, str, str]]:
    return list(RunEvent.objects.filter(run=run).values_list("stage", "from_status", "to_status"))


def later(run: Run, seconds: float) -> Run:
    """The run after a wake-up that comes so much later."""
    kernel.advance(run.pk, PLAN, lambda: now() + timedelta(seconds=seconds))
    return Run.objects.get(pk=run.pk)


def start(pipeline: Pipeline) -> Run:
    run = actions.start_run(pipeline, actor="owner", now=now())
    return Run.objects.get(pk=run.pk)


def promoted(pipeline: Pipeline) -> Run:
    """A first version that a person promoted; its run watches it."""
    run = start(pipeline)
    actions.approve(run, actor="owner", reason="looks right", now=now())
    return watched(run)


def watched(run: Run) -> Run:
    """The run after the monitor's day."""
    run = Run.objects.get(pk=run.pk)
    while run.is_live:
        run = later(run, 2 * 86_400)
    return run


def test_a_first_version_waits_for_a_person_and_then_takes_all_the_traffic(
    pipeline: Pipeline, add_rows: Callable[..., None]
) -> None:
    add_rows(0, 30)
    run = start(pipeline)
    assert (run.status, run.stage) == ("held", "compare")
    assert "first version" in run.reason
    assert Notice.objects.filter(run=run, kind="held").count() == 1
    actions.approve(run, actor="owner", reason="looks right", now=now())
    run = watched(run)
    assert (run.status, run.verdict) == ("succeeded", "succeeded")
    version = ModelVersion.objects.get(run=run)
    assert (version.status, version.number) == ("production", 1)
    assert Route.objects.get(pipeline=pipeline).production == version
    assert Notice.objects.filter(run=run, kind="promoted").count() == 1


def test_a_run_leaves_the_same_story_whatever_happens_between_its_wake_ups(
    pipeline: Pipeline, add_rows: Callable[..., None]
) -> None:
    add_rows(0, 30)
    run = start(pipeline)
    before = events(run)
    for _ in range(3):
        kernel.advance(run.pk, PLAN, now)
    assert events(run) == before
    stages = [stage for stage, _old, to in before if to == "running"]
    assert stages == ["trigger", "validate", "finetune", "evaluate", "compare"]


def test_too_little_data_skips_the_run_and_the_rows_stay_new(pipeline: Pipeline, add_rows: Callable[..., None]) -> None:
    add_rows(0, 4)
    run = start(pipeline)
    assert (run.status, run.reason) == ("skipped", "4 of 10 new examples: 6 are missing")
    assert Example.objects.filter(pipeline=pipeline, state="ready", judged_in=None, dataset=None).count() == 4


def test_a_batch_with_broken_rows_stops_and_parks_the_rest(pipeline: Pipeline, add_rows: Callable[..., None]) -> None:
    add_rows(0, 20, b"{broken", b'{"messages": []}', b'{"input": "a"}')
    run = start(pipeline)
    assert run.status == "stopped"
    assert "3 of 23 rows are malformed (13.0 %)" in run.reason
    assert Example.objects.filter(pipeline=pipeline, state="parked").count() == 20
    broken = Example.objects.filter(pipeline=pipeline, state="quarantined").order_by("line")
    assert list(broken.values_list("line", flat=True)) == [21, 22, 23]
    assert all(row.rule for row in broken)


def test_a_worse_candidate_is_rejected_and_nothing_moves(
    pipeline: Pipeline, add_rows: Callable[..., None], quick_jobs: dict[int, int]
) -> None:
    add_rows(0, 30)
    promoted(pipeline)
    quick_jobs[2] = 40
    add_rows(100, 30)
    run = start(pipeline)
    assert run.status == "rejected"
    assert "worse beyond chance" in run.reason
    assert ModelVersion.objects.get(run=run).status == "rejected"
    assert PipelineState.objects.get(pipeline=pipeline).production.number == 1
    assert GateResult.objects.filter(run=run, verdict="failed").exists()
    assert Example.objects.filter(pipeline=pipeline, state="parked").count() == 30


def test_a_better_candidate_goes_into_the_canary_at_its_first_share(
    pipeline: Pipeline, add_rows: Callable[..., None]
) -> None:
    add_rows(0, 30)
    promoted(pipeline)
    add_rows(100, 30)
    run = start(pipeline)
    assert (run.status, run.stage, run.reason) == ("waiting", "deploy", "canary at 5 %")
    route = Route.objects.get(pipeline=pipeline)
    assert (route.production.number, route.candidate.number, route.candidate_bp) == (1, 2, 500)


def test_a_host_that_the_settings_name_is_never_left_out_in_silence(
    pipeline: Pipeline, add_rows: Callable[..., None]
) -> None:
    add_rows(0, 30)
    promoted(pipeline)
    host = Host.objects.get(client_id=pipeline.client_id)
    body = pipeline.settings.model_dump(mode="json") | {"hosts": [host.name, "second"]}
    change_settings(pipeline, body, "owner", now())
    add_rows(100, 30)
    run = start(pipeline)
    assert (run.status, run.stage) == ("held", "deploy")
    assert run.reason == "disabled or removed: second; enable it, or approve to go on without it"
    actions.approve(run, actor="owner", reason="it is being rebuilt", now=now())
    assert Run.objects.get(pk=run.pk).reason == "canary at 5 %"


def test_a_person_takes_a_canary_back_and_its_run_ends(pipeline: Pipeline, add_rows: Callable[..., None]) -> None:
    add_rows(0, 30)
    promoted(pipeline)
    add_rows(100, 30)
    run = start(pipeline)
    made = actions.roll_back(pipeline, to=None, actor="owner", reason="a client complained", now=now())
    route = Route.objects.get(pipeline=pipeline)
    assert (route.production.number, route.candidate, route.candidate_bp) == (1, None, 0)
    assert (made.from_version.number, made.to_version.number) == (2, 1)
    assert Run.objects.get(pk=run.pk).status == "rolled_back"
    assert PipelineState.objects.get(pipeline=pipeline).cooldown_until > now()
    assert Notice.objects.filter(run=run, kind="rolled_back").count() == 1


def test_every_version_has_its_card_beside_its_file(pipeline: Pipeline, add_rows: Callable[..., None]) -> None:
    add_rows(0, 30)
    version = ModelVersion.objects.get(run=promoted(pipeline))
    card = store_of(version.client_id).path(version.gguf_digest).with_name(f"{version.gguf_digest}.version.yaml")
    told = yaml.safe_load(card.read_text())
    assert (told["version"], told["status"]) == ("v1", "production")
    assert "owner" in card.read_text()


def test_the_card_of_a_version_that_was_replaced_says_so(pipeline: Pipeline, add_rows: Callable[..., None]) -> None:
    add_rows(0, 30)
    first = ModelVersion.objects.get(run=promoted(pipeline))
    add_rows(100, 30)
    run = start(pipeline)
    promote(Rollout.objects.get(run=run), now())
    assert [card_of(first)["status"], card_of(ModelVersion.objects.get(run=run))["status"]] == [
        "archived",
        "production",
    ]
    actions.roll_back(pipeline, to=first, actor="owner", reason="a client complained", now=now())
    assert [card_of(first)["status"], card_of(ModelVersion.objects.get(run=run))["status"]] == [
        "production",
        "rolled_back",
    ]


def card_of(version: ModelVersion) -> dict[str, object]:
    """What stands beside the version's file."""
    file = store_of(version.client_id).path(version.gguf_digest).with_name(f"{version.gguf_digest}.version.yaml")
    return yaml.safe_load(file.read_text())


def test_a_task_gate_without_a_held_out_set_does_not_exist(
    pipeline: Pipeline, add_rows: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = fake_jobs.evaluate
    monkeypatch.setitem(JOBS, "evaluate", lambda work: measured(work) | {"sets": {}, "set_versions": {}})
    add_rows(0, 30)
    run = start(pipeline)

    assert (run.status, run.stage) == ("held", "compare")
    assert "no gate could decide without production" in run.reason
    assert list(GateResult.objects.filter(run=run).values_list("name", flat=True)) == ["size"]


def test_a_run_that_is_through_lets_hosts_hear_of_its_version(
    unwatched: Pipeline, add_rows: Callable[..., None], shop: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(JOBS, "alias", fake_jobs.ON_HOSTS["alias"])
    add_rows(0, 30)
    run = promoted(unwatched)
    assert run.status == "succeeded"
    digests = {tag.name.rpartition(":")[2]: tag.digest for tag in shop.tags()}
    assert digests["production"] == digests["v1"]


def test_only_what_a_run_itself_waits_for_ends_with_its_success(
    unwatched: Pipeline, add_rows: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    add_rows(0, 30)
    run = start(unwatched)
    monkeypatch.setattr("pipelines.engine.dispatch.work_job", lambda *_: None)
    for kind in ("push:shop:repair-7", "replay:2"):
        Job.of(run, run=run, stage="deploy", kind=kind, queue="push", created_at=now(), due_at=now()).save()
    with monkeypatch.context() as patch:
        patch.setattr(deploy, "_place", lambda *_: None)
        actions.approve(run, actor="owner", reason="looks right", now=now())
    assert Run.objects.get(pk=run.pk).status == "succeeded"
    ended = dict(Job.objects.filter(run=run, stage="deploy").values_list("kind", "status"))
    assert ended == {"push:shop:repair-7": "queued", "replay:2": "cancelled", "alias": "queued"}
