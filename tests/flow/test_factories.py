"""The factories place a run at any stage, on rows that the product itself would accept."""

import pytest

from pipelines.models import GateResult, PipelineState, Route, RunEvent, Scorecard
from tenants.models import Client
from tests import factories


@pytest.mark.parametrize("at", [*factories.STAGES, factories.DONE])
def test_a_run_stands_where_it_was_put(acorn: Client, at: str) -> None:
    run = factories.make_run(factories.make_pipeline(acorn), at=at)

    with factories.inside(acorn):
        done = {row.stage for row in run.stages.all() if row.status == "done"}
        assert done == set(factories.STAGES if at == "done" else factories.STAGES[: factories.STAGES.index(at)])
        assert run.status == ("succeeded" if at == "done" else "queued")


def test_a_run_at_compare_has_a_scorecard_and_no_gates_yet(acorn: Client) -> None:
    run = factories.make_run(factories.make_pipeline(acorn), at="compare", status="held")

    with factories.inside(acorn):
        assert Scorecard.objects.filter(run=run).exists()
        assert not GateResult.objects.filter(run=run).exists()
        assert [event.to_status for event in RunEvent.objects.filter(run=run)][-1] == "held"


def test_production_gets_the_traffic_and_the_next_run_knows_it(acorn: Client) -> None:
    pipeline = factories.make_pipeline(acorn)

    first = factories.make_production(pipeline)
    second = factories.make_run(pipeline, at="deploy", status="waiting")

    with factories.inside(acorn):
        assert PipelineState.objects.get(pipeline=pipeline).production == first.model_version
        assert Route.objects.get(pipeline=pipeline).production == first.model_version
        assert second.scorecard.production == first.model_version
        assert second.dataset.parent == first.dataset
