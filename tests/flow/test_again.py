"""A run that ended is gone on with from one of its stages, with what the earlier ones made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.utils.timezone import now

from pipelines import actions, plan
from pipelines.actions import ActionRefused
from pipelines.actions.again import obstacle, stages_of
from pipelines.actions.sources import bring_back, withdraw
from pipelines.artifacts import store_of
from pipelines.engine.jobs import JobFailed, Work
from pipelines.heavy import measure
from pipelines.models import Batch, DatasetVersion, Example, ModelVersion, PipelineState, Rollout, Run, Scorecard
from pipelines.records.dataset import listed
from pipelines.shipping.promotion import promote
from tenants.actions import change_settings
from tenants.models import AuditEvent, EvalSet, Pipeline
from tests import factories
from tests.flow.test_line import promoted, start, watched
from tests.flow.test_validate import WORDS, case, row


def go_on(run: Run, stage: str, **more: Any) -> Run:
    made = actions.rerun_from(run, stage, actor="owner", reason="the host is back", now=now(), **more)
    return Run.objects.get(pk=made.pk)


def through(run: Run) -> Run:
    """The run after its canary, whose evidence is another test's business."""
    assert (run.status, run.stage) == ("waiting", "deploy")
    promote(Rollout.objects.get(run=run), now())
    return watched(run)


def breaking(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    def fail(work: Work) -> dict[str, Any]:
        raise JobFailed("the disk is full", permanent=True)

    monkeypatch.setitem(plan.JOBS, kind, fail)


@pytest.fixture
def second(pipeline: Pipeline, add_rows: Callable[..., None]) -> Pipeline:
    """Version 1 in production, and new rows for a second run."""
    fields = {"pipeline": pipeline, "kind": "heldout", "version": 1, "size": 1, "created_at": factories.NOW}
    EvalSet.of(pipeline, **fields).save()
    add_rows(0, 30)
    promoted(pipeline)
    add_rows(100, 30)
    return pipeline


@pytest.fixture
def rejected(second: Pipeline, quick_jobs: dict[int, int]) -> Run:
    quick_jobs[2] = 40
    run = start(second)
    assert run.status == "rejected"
    return run


def test_training_that_failed_is_done_again_on_the_same_rows(second: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as broken:
        breaking(broken, "train")
        failed = start(second)
    assert (failed.status, failed.stage) == ("failed", "finetune")
    run = go_on(failed, "finetune")
    assert (run.status, run.stage) == ("waiting", "deploy")
    assert "validate" not in run.stages.values_list("stage", flat=True)
    trained = [DatasetVersion.objects.get(run=one) for one in (failed, run)]
    assert trained[0].digest == trained[1].digest
    assert Example.objects.filter(dataset=trained[1], state="ready").count() == 30


def test_an_evaluation_that_failed_measures_the_same_bytes_again(
    second: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        breaking(broken, "evaluate")
        failed = start(second)
    assert failed.stage == "evaluate"
    run = through(go_on(failed, "evaluate"))
    assert run.status == "succeeded"
    source, version = ModelVersion.objects.get(run=failed), ModelVersion.objects.get(run=run)
    assert (version.number, version.gguf_digest) == (source.number + 1, source.gguf_digest)
    assert (version.card["same_as"], version.parent, source.status) == (source.label, None, "archived")
    assert PipelineState.objects.get(pipeline=second).production == version
    assert not run.jobs.filter(kind="train").exists()
    assert Example.objects.filter(dataset=version.dataset, state="ready").count() == 30
    event = AuditEvent.objects.get(verb="run.again")
    assert event.detail == {"of": failed.number, "from": "evaluate", "reason": "the host is back"}
    assert (event.actor, version.run.occasion["by"]) == ("owner", "owner")


def test_a_push_that_failed_ships_the_same_version_after_the_gates_spoke_again(
    second: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        breaking(broken, "push")
        failed = start(second)
    assert (failed.status, failed.stage) == ("failed", "deploy")
    run = go_on(failed, "deploy")
    assert list(run.stages.order_by("id").values_list("stage", flat=True)) == ["trigger", "compare", "deploy"]
    assert run.gates.count() == failed.gates.count() > 0
    assert Scorecard.objects.get(run=run).answers_digest == Scorecard.objects.get(run=failed).answers_digest
    assert not run.jobs.filter(kind="evaluate").exists()
    assert through(run).status == "succeeded"


def test_what_gates_rejected_passes_gates_that_a_person_changed(rejected: Run, second: Pipeline) -> None:
    body = second.settings.model_dump(mode="json")
    body["gates"] = [gate | ({"effect": "warn"} if gate["name"] == "accuracy" else {}) for gate in body["gates"]]
    change_settings(second, body, "owner", now(), "known weakness")
    run = go_on(rejected, "compare")
    assert (run.status, run.stage) == ("waiting", "deploy")
    assert ModelVersion.objects.get(run=rejected).status == "rejected"
    assert Example.objects.filter(dataset=ModelVersion.objects.get(run=run).dataset, state="ready").count() == 30


def test_rejected_again_its_rows_are_parked_again_and_it_can_be_gone_on_with_again(rejected: Run) -> None:
    second_try = go_on(rejected, "compare")
    assert second_try.status == "rejected"
    assert Example.objects.filter(state="parked").count() == 30
    third = go_on(rejected, "finetune")
    assert third.status == "waiting"
    assert Example.objects.filter(state="parked").count() == 0


def test_rows_that_stopped_a_run_are_judged_again_and_broken_ones_count_until_somebody_saw_to_them(
    pipeline: Pipeline, add_rows: Callable[..., None]
) -> None:
    add_rows(0, 20, b"{broken", b'{"messages": []}', b'{"input": "a"}')
    stopped = start(pipeline)
    assert stages_of(stopped) == ("validate",)
    again = go_on(stopped, "validate")
    assert (again.status, again.reason) == ("stopped", stopped.reason)
    broken = list(Example.objects.filter(state="quarantined").values_list("pk", flat=True))
    actions.discard_rows(pipeline, ids=broken, actor="owner", reason="not ours", now=now())
    assert go_on(again, "validate").status == "held"


def test_measurements_of_another_production_or_set_are_refused_with_what_to_do(rejected: Run, second: Pipeline) -> None:
    state = PipelineState.objects.get(pipeline=second)
    state.production = ModelVersion.objects.get(run=rejected)
    state.save()
    with pytest.raises(ActionRefused, match=r"Production was v1 .* is v2 now\. Re-run it from Evaluate"):
        go_on(rejected, "compare")
    state.production = ModelVersion.objects.get(number=1)
    state.save()
    Scorecard.objects.filter(run=rejected).update(cases={"set_versions": {"heldout": 2}})
    assert "evaluation sets changed" in obstacle(rejected, "compare")
    assert Run.objects.count() == 2


def test_bytes_of_another_recipe_and_files_that_are_gone_are_refused(rejected: Run, second: Pipeline) -> None:
    version = ModelVersion.objects.get(run=rejected)
    body = second.settings.model_dump(mode="json")
    change_settings(second, body | {"recipe": body["recipe"] | {"epochs": 9}}, "owner", now(), "longer")
    with pytest.raises(ActionRefused, match="recipe is another one"):
        go_on(rejected, "evaluate")
    change_settings(Pipeline.objects.get(pk=second.pk), body, "owner", now(), "as before")
    store_of(second.client_id).path(version.gguf_digest).unlink()
    with pytest.raises(ActionRefused, match="no longer in the store"):
        go_on(rejected, "evaluate")
    assert go_on(rejected, "finetune").status == "waiting"


def test_it_is_refused_without_a_reason_beside_a_live_run_and_for_a_run_that_went_well(
    second: Pipeline, add_rows: Callable[..., None]
) -> None:
    well = Run.objects.get(number=1)
    with pytest.raises(ActionRefused, match="ended as succeeded"):
        go_on(well, "evaluate")
    live = start(second)
    with pytest.raises(ActionRefused, match="still live"):
        go_on(live, "validate")
    actions.abort_rollout(live, actor="owner", reason="no", now=now())
    back = Run.objects.get(pk=live.pk)
    with pytest.raises(ActionRefused, match="cannot go on from evaluate"):
        go_on(back, "evaluate")
    with pytest.raises(ActionRefused, match="Say why"):
        actions.rerun_from(back, "finetune", actor="owner", reason=" ", now=now())


def test_a_key_goes_on_with_what_broke_and_not_with_what_was_turned_down(rejected: Run) -> None:
    with pytest.raises(ActionRefused, match="a person goes on with it"):
        go_on(rejected, "finetune", by_key=True)


LONG = " ".join(WORDS)


def put_held_out(pipeline: Pipeline, *questions: str) -> EvalSet:
    cases = [case(row(said, "billing")) | {"id": f"c{n}"} for n, said in enumerate(questions)]
    return actions.put_set(pipeline, "heldout", cases, actor="owner", note="", now=now())


@pytest.mark.parametrize("stage", ["finetune", "evaluate"])
@pytest.mark.parametrize(
    ("question", "is_away"), [(LONG, False), (f"{LONG} more", False), (LONG, True), (f"{LONG} more", True)]
)
def test_a_row_that_a_held_out_case_asks_by_now_stays_out_of_a_run_that_takes_the_others_over(
    second: Pipeline,
    quick_jobs: dict[int, int],
    add_rows: Callable[..., None],
    stage: str,
    question: str,
    is_away: bool,
) -> None:
    quick_jobs[2] = 40
    add_rows(200, 0, row(LONG, "billing"))
    rejected, upload = start(second), Batch.objects.get(token="t200")
    if is_away:  # Not even parked while the set is put.
        withdraw(upload, actor="owner", reason="asked for", now=now())
    put_held_out(second, question)
    if is_away:
        bring_back(upload, actor="owner", reason="allowed again", now=now())

    run = go_on(rejected, stage)

    assert run.status == "waiting"
    asked = Example.objects.get(batch=upload)
    assert (asked.state, asked.rule, asked.dataset_id == run.dataset.pk) == ("quarantined", "leakage", False)
    assert Example.objects.filter(dataset=run.dataset, state="ready").count() == 30
    assert (asked.pk in listed(run.dataset)) == (stage == "evaluate")  # A version that exists has learnt it.


@pytest.mark.parametrize("ended", ["failed", "rejected"])
def test_a_version_that_is_measured_again_is_not_asked_what_it_learnt(
    second: Pipeline,
    quick_jobs: dict[int, int],
    add_rows: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    ended: str,
) -> None:
    quick_jobs[2] = 40
    add_rows(200, 0, row(LONG, "billing"))
    with monkeypatch.context() as broken:
        if ended == "failed":
            breaking(broken, "evaluate")
        before = start(second)
    assert before.status == ended
    made = put_held_out(second, f"{LONG} more", "what else")

    run = go_on(before, "evaluate")

    assert measure.trained_by(run, made) == {made.cases.get(key="c0").pk}
    assert run.dataset.created_at == before.dataset.created_at
