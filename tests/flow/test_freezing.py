"""Freezing a dataset: nobody waits for it, and what comes in the middle of it is not trained on."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils.timezone import now

from pipelines import actions
from pipelines.actions.sources import withdraw
from pipelines.artifacts import store_of
from pipelines.engine import kernel
from pipelines.engine.jobs import JobFailed
from pipelines.heavy import measure
from pipelines.models import Batch, DatasetVersion, Example, ModelVersion, Run
from pipelines.plan import PLAN
from pipelines.records.dataset import questions, write_artifacts
from pipelines.stages import finetune
from pipelines.validation.leakage import trained_cases
from tenants.models import EvalSet, Pipeline
from tests.flow.conftest import lines
from tests.flow.test_line import promoted, start
from tests.flow.test_validate import case


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What happens, first to last, each once, behind a dataset's artifacts and before its row."""
    acts: list[Any] = []

    def written(*given: Any) -> None:
        write_artifacts(*given)
        if acts:
            acts.pop(0)()

    monkeypatch.setattr(finetune, "write_artifacts", written)
    return acts


def add(pipeline: Pipeline, first: int, count: int) -> None:
    actions.add_examples(pipeline, lines(first, count), token=f"t{first}", actor="tests", now=now())


def test_nobody_waits_while_the_rows_are_written_down(pipeline: Pipeline, meanwhile: list[Any]) -> None:
    held: list[bool] = []
    meanwhile.append(lambda: held.append(connection.in_atomic_block))
    add(pipeline, 0, 30)

    run = start(pipeline)

    assert held == [False]
    assert Example.objects.filter(dataset=run.dataset).count() == run.dataset.rows_new == 30


def test_an_evaluation_set_that_comes_in_the_middle_has_the_dataset_frozen_again(
    pipeline: Pipeline, meanwhile: list[Any], settings: Any
) -> None:
    settings.RETRY_BASE_S = 0
    asked = [case(lines(3, 1)[0])]
    meanwhile.append(
        lambda: actions.put_set(pipeline, "heldout", asked, actor="owner", note="", now=now())  # Asks what row 4 asks.
    )
    add(pipeline, 0, 30)

    run = start(pipeline)
    kernel.advance(run.pk, PLAN, now)  # The second try, which the ticker would wake.

    assert run.dataset.rows_total == 29 and DatasetVersion.objects.count() == 1
    said = list(Run.objects.get(pk=run.pk).events.values_list("reason", flat=True))
    assert "trying again: An evaluation set was added while the dataset was frozen." in said
    twin = Example.objects.get(batch__token="t0", line=4)
    assert (twin.rule, twin.dataset_id) == ("leakage", None)


def test_a_row_that_goes_in_the_middle_is_as_one_that_goes_after(pipeline: Pipeline, meanwhile: list[Any]) -> None:
    add(pipeline, 0, 30)
    gone = Example.objects.get(batch__token="t0", line=4)
    meanwhile.append(lambda: Example.objects.filter(pk=gone.pk).update(state="withdrawn"))

    run = start(pipeline)

    gone.refresh_from_db()
    assert (run.dataset.rows_total, gone.state, gone.dataset_id) == (30, "withdrawn", run.dataset.pk)


def test_a_set_that_comes_after_the_freeze_leaves_out_what_the_candidate_learnt(pipeline: Pipeline) -> None:
    add(pipeline, 0, 30)
    run = start(pipeline)
    asked = [case(lines(n, 1)[0]) | {"id": f"c{n}"} for n in (3, 4000)]
    later = now() + timedelta(hours=1)

    actions.put_set(pipeline, "heldout", asked, actor="owner", note="", now=later)

    made = EvalSet.objects.filter(pipeline=pipeline, kind="heldout").latest("version")
    left_out = measure.trained_by(run, made)
    assert list(made.cases.exclude(pk__in=left_out).values_list("messages__0__content", flat=True)) == [
        asked[1]["messages"][0]["content"]
    ]
    actions.put_set(pipeline, "heldout", asked[:1], actor="owner", note="", now=later)
    with pytest.raises(JobFailed, match="Put other cases, or run again"):
        measure.trained_by(run, EvalSet.objects.filter(pipeline=pipeline, kind="heldout").latest("version"))


def test_a_set_from_before_the_freeze_is_asked_whole(pipeline: Pipeline) -> None:
    made = actions.put_set(pipeline, "heldout", [case(lines(4000, 1)[0])], actor="owner", note="", now=now())
    add(pipeline, 0, 30)
    run = start(pipeline)

    assert measure.trained_by(run, made) == set()


def test_cases_from_before_the_freeze_are_asked_in_a_later_version_of_their_set_too(pipeline: Pipeline) -> None:
    asked = [case(lines(n, 1)[0]) | {"id": f"c{n}"} for n in (3, 4000)]
    add(pipeline, 0, 30)
    start(pipeline)
    actions.put_set(pipeline, "heldout", asked[:1], actor="owner", note="", now=now())  # Row 4 trains no more.
    dataset = DatasetVersion.objects.latest("pk")
    dataset.created_at = now()  # As if frozen again, without it.
    dataset.save()
    made = actions.put_set(pipeline, "heldout", asked, actor="owner", note="", now=now() + timedelta(hours=1))

    assert trained_cases(made, dataset, questions(dataset), 0.8) == set()


@pytest.fixture
def production(pipeline: Pipeline) -> DatasetVersion:
    """What production has trained on: rows 1 to 30, with another 30 beside it for a run to come."""
    add(pipeline, 0, 30)
    dataset = promoted(pipeline).dataset
    add(pipeline, 100, 30)
    return dataset


def test_cases_that_production_has_learnt_are_left_out_whatever_became_of_the_rows(
    pipeline: Pipeline, production: DatasetVersion
) -> None:
    asked = [case(lines(n, 1)[0]) | {"id": f"c{n}"} for n in (3, 103, 4000)]
    actions.put_set(pipeline, "heldout", asked, actor="owner", note="", now=now())
    run = start(pipeline)
    withdraw(Batch.objects.get(token="t0"), actor="owner", reason="asked for", now=now())

    made = EvalSet.objects.get(pipeline=pipeline, kind="heldout")
    left_out = measure.trained_by(run, made)

    assert production.created_at < made.created_at < run.dataset.created_at
    assert list(made.cases.filter(pk__in=left_out).values_list("key", flat=True)) == ["c3"]
    made = actions.put_set(pipeline, "heldout", asked[:1], actor="owner", note="", now=now())
    assert measure.trained_by(run, made) == set(), "no later run could do without what production knows"


def test_a_prompts_version_knows_what_production_knows_and_is_asked_it_too(
    pipeline: Pipeline, production: DatasetVersion
) -> None:
    asked = [case(lines(n, 1)[0]) | {"id": f"c{n}"} for n in (3, 4000)]
    made = actions.put_set(pipeline, "heldout", asked, actor="owner", note="", now=now())
    version, prompt = (
        ModelVersion.objects.get(dataset=production),
        actions.read_prompt("Answer with one label.", False, {}),
    )

    run = actions.start_prompt_run(version, prompt, actor="owner", reason="clearer", now=now())

    assert measure.trained_by(run, made) == set()


def test_what_the_candidate_learnt_is_left_out_after_its_run_has_failed_too(
    pipeline: Pipeline, production: DatasetVersion
) -> None:
    run = start(pipeline)
    Example.objects.filter(dataset=run.dataset).update(dataset=None)
    asked = [case(lines(n, 1)[0]) | {"id": f"c{n}"} for n in (103, 4000)]
    made = actions.put_set(pipeline, "heldout", asked, actor="owner", note="", now=now() + timedelta(hours=1))

    left_out = measure.trained_by(run, made)

    assert list(made.cases.filter(pk__in=left_out).values_list("key", flat=True)) == ["c103"]


def test_a_production_whose_list_of_rows_is_gone_is_asked_everything(
    pipeline: Pipeline, production: DatasetVersion
) -> None:
    made = actions.put_set(pipeline, "heldout", [case(lines(3, 1)[0])], actor="owner", note="", now=now())
    run = start(pipeline)
    store_of(pipeline.client_id).path(production.manifest).unlink()

    assert measure.trained_by(run, made) == set()
