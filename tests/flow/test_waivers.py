"""A waiver lets a run pass one gate while it is in force, is seen in the verdict, and ends by the clock."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils.timezone import now

from pipelines import actions
from pipelines.models import GateResult, PipelineState, Run, Scorecard
from pipelines.records.scorecard import evidence_of
from tenants.models import Pipeline
from tests.flow.test_line import promoted, start


@pytest.fixture
def second_is_worse(pipeline: Pipeline, add_rows: Callable[..., None], quick_jobs: dict[int, int]) -> Pipeline:
    """Version 1 is in production; the next run's candidate is worse beyond chance."""
    add_rows(0, 30)
    promoted(pipeline)
    quick_jobs[2] = 40
    add_rows(100, 30)
    return pipeline


def waive(pipeline: Pipeline, gate: str, ends_in: timedelta) -> None:
    begun = now() - timedelta(days=2)
    actions.waive_gate(pipeline, gate, actor="ada", reason="set being mended", expires_at=begun + ends_in, now=begun)


def test_a_waived_gate_is_judged_shown_and_does_not_decide(second_is_worse: Pipeline) -> None:
    waive(second_is_worse, "accuracy", timedelta(days=30))

    run = start(second_is_worse)

    assert (run.status, run.stage) == ("waiting", "deploy")
    verdict = GateResult.objects.get(run=run, name="accuracy")
    assert (verdict.verdict, verdict.is_waived) == ("failed", True)
    assert "worse beyond chance; waived by ada until" in verdict.sentence
    assert verdict.sentence.endswith("UTC: set being mended")
    assert verdict.sentence in run.stages.get(stage="compare").output["notices"]


def test_a_waiver_that_ran_out_changes_nothing(second_is_worse: Pipeline) -> None:
    waive(second_is_worse, "accuracy", timedelta(days=1))

    run = start(second_is_worse)

    assert run.status == "rejected"
    assert GateResult.objects.get(run=run, name="accuracy").waiver is None


def test_a_withdrawn_waiver_changes_nothing(second_is_worse: Pipeline) -> None:
    waive(second_is_worse, "accuracy", timedelta(days=30))
    actions.withdraw_waiver(second_is_worse.waivers.get(), actor="ada", reason="mended", now=now())

    assert start(second_is_worse).status == "rejected"


def test_a_waiver_of_another_gate_does_not_help(second_is_worse: Pipeline) -> None:
    waive(second_is_worse, "latency", timedelta(days=30))

    assert start(second_is_worse).status == "rejected"


def test_where_every_gate_that_decides_is_waived_a_person_decides(
    pipeline: Pipeline, add_rows: Callable[..., None], quick_jobs: dict[int, int]
) -> None:
    body = pipeline.settings.model_dump(mode="json")
    body["gates"] = [gate for gate in body["gates"] if gate["name"] == "accuracy"]
    from tenants.actions import change_settings

    change_settings(pipeline, body, "tests", now())
    add_rows(0, 30)
    promoted(pipeline)
    quick_jobs[2] = 40
    add_rows(100, 30)
    waive(pipeline, "accuracy", timedelta(days=30))

    run = start(pipeline)

    assert (run.status, run.stage) == ("held", "compare")
    assert "every gate that could decide is waived" in run.reason


def test_a_verdict_keeps_the_gate_as_it_was_judged(second_is_worse: Pipeline) -> None:
    run = start(second_is_worse)

    kept = GateResult.objects.get(run=run, name="accuracy").spec
    assert (kept["metric"], kept["rule"]) == ("accuracy", "at_least_production")
    assert kept["params"]["preset"] == "strict"


def test_a_production_that_changed_after_the_measurement_is_not_compared_with(second_is_worse: Pipeline) -> None:
    run = start(second_is_worse)
    card = Scorecard.objects.select_related("version", "production").get(run=run)
    assert evidence_of(card).stale == ""

    state = PipelineState.objects.get(pipeline=second_is_worse)
    state.production = Run.objects.get(pk=run.pk).model_version
    state.save()

    assert evidence_of(card).stale == "production was v1 when it was measured and is v2 now; start a new run"
