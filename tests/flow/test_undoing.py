"""What undoing an import means while runs, evaluation sets and other imports go on beside it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import datetime

import pytest
from django.db import connection
from django.utils.timezone import now

from pipelines import actions
from pipelines.actions import eval_sets, imports, sources
from pipelines.models import Batch, Example, ExampleState, Source
from pipelines.models.row_decision import RowDecision
from tenants import scope
from tenants.models import Pipeline
from tests.flow.conftest import lines
from tests.flow.test_line import promoted, start
from tests.flow.test_sources import CSV, MAPPING, add, stage, states


def undo(what: Batch | Source) -> None:
    sources.withdraw(what, actor="ana", reason="wrong file", now=now())


def bring_back(what: Batch | Source) -> None:
    sources.bring_back(what, actor="ana", reason="it was right", now=now())


def case_of(row: Example) -> dict[str, object]:
    return {"id": f"c{row.pk}", "messages": row.messages[:-1], "check": "label", "expected": {"label": row.label}}


def test_rows_of_a_rejected_run_that_were_undone_in_between_come_back_parked(
    pipeline: Pipeline, quick_jobs: dict[int, int]
) -> None:
    add(pipeline, 0, 30, "archive")
    run = start(pipeline)
    batch = Batch.objects.get()

    undo(batch)
    actions.reject(run, actor="ana", reason="not good", now=now())
    bring_back(batch)

    assert states("archive") == {"parked": 30}
    assert set(Example.objects.values_list("rule", flat=True)) == {"rejected"}


def test_rows_that_were_undone_between_their_check_and_the_dataset_are_judged_anew(pipeline: Pipeline) -> None:
    add(pipeline, 0, 30, "archive")
    batch = add(pipeline, 100, 30, "other")
    Example.objects.filter(batch=batch).update(judged_in=start(pipeline), dataset=None)

    undo(batch)
    bring_back(batch)

    assert states("other") == {"ready": 30}
    assert set(Example.objects.filter(batch=batch).values_list("judged_in", flat=True)) == {None}


def test_what_an_evaluation_set_asked_meanwhile_never_trains_again(
    pipeline: Pipeline, quick_jobs: dict[int, int]
) -> None:
    quick_jobs[2] = 40  # Rejected: over as soon as it is judged.
    add(pipeline, 0, 30, "archive")
    batch = add(pipeline, 100, 30, "other")
    promoted(pipeline)
    undo(batch)
    row = Example.objects.filter(batch=batch).latest("id")
    eval_sets.put_set(pipeline, "regression", [case_of(row)], actor="ana", note="", now=now())
    add(pipeline, 200, 30, "archive")
    assert start(pipeline).status == "rejected"

    bring_back(batch)
    third = start(pipeline)

    row.refresh_from_db()
    assert (row.state, row.rule) == ("quarantined", "leakage")
    assert states("other") == {"ready": 29, "quarantined": 1}
    assert third.dataset.batches[str(batch.pk)] == 29


def test_rows_that_come_back_before_anything_was_trained_are_what_they_were(pipeline: Pipeline) -> None:
    add(pipeline, 0, 30, "archive")
    run = promoted(pipeline)
    batch = Batch.objects.get()

    undo(batch)
    bring_back(batch)

    assert set(Example.objects.values_list("state", "dataset__run")) == {("ready", run.pk)}


def test_rows_that_were_set_aside_for_the_sake_of_an_undone_upload_are_looked_at_again(
    pipeline: Pipeline, quick_jobs: dict[int, int]
) -> None:
    quick_jobs[2] = 40
    wrong = add(pipeline, 0, 30, "archive")
    promoted(pipeline)
    conflict = lines(0, 1)[0].replace(b"billing", b"delivery")
    right = actions.add_examples(
        pipeline, [*lines(1, 29), conflict, *lines(100, 20)], token="right", source="right", actor="ana", now=now()
    )
    start(pipeline)
    before = states("right")

    undo(wrong)
    again = states("right")
    run = start(pipeline)

    assert before == {"duplicate": 29, "quarantined": 1, "parked": 20}
    assert again == {"ready": 30, "parked": 20} and run.dataset.batches == {str(right.pk): 30}
    bring_back(wrong)
    assert states("archive") == {"ready": 30}
    assert set(Example.objects.filter(batch=wrong).values_list("dataset", flat=True)) == {None}


def test_a_leaked_row_that_trained_once_is_discarded_and_taken_back(pipeline: Pipeline) -> None:
    add(pipeline, 0, 30, "archive")
    promoted(pipeline)
    row = Example.objects.latest("id")
    eval_sets.put_set(pipeline, "regression", [case_of(row)], actor="ana", note="", now=now())

    changed = actions.discard_rows(pipeline, ids=[row.pk], actor="ana", reason="no use", now=now())
    back = actions.undo_decision(pipeline, decision=RowDecision.objects.get().pk, actor="ana", now=now())

    row.refresh_from_db()
    assert changed == 1 and back == (1, 0)
    assert (row.state, row.rule) == ("quarantined", "leakage")


@pytest.fixture
def in_the_middle(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Has something happen after the first chunk of a file was stored."""

    def hook(act: Callable[[], object]) -> None:
        stored, is_done = imports.fill, []

        def fill(batch: Batch, rows: Iterator[bytes], at: datetime, told: Callable[[Batch], None]) -> None:
            def tell(one: Batch) -> None:
                if one.rows and not is_done:
                    is_done.append(act())
                told(one)

            stored(batch, rows, at, tell)

        monkeypatch.setattr(imports, "fill", fill)

    return hook


def test_a_source_that_is_withdrawn_while_its_file_is_read_trains_nothing(
    pipeline: Pipeline, in_the_middle: Callable[[Callable[[], object]], None]
) -> None:
    in_the_middle(lambda: undo(Source.objects.get(name="crm")))

    batch = imports.start_import(stage(pipeline, CSV), MAPPING, now=now())

    assert Batch.objects.get(pk=batch.pk).is_complete and states("crm") == {"withdrawn": 1200}
    bring_back(Source.objects.get(name="crm"))
    assert states("crm") == {"ready": 1200}


def test_trust_that_is_lost_while_a_file_is_read_holds_for_all_its_rows(
    pipeline: Pipeline, in_the_middle: Callable[[Callable[[], object]], None]
) -> None:
    def distrust() -> None:
        source = Source.objects.get(name="crm")
        sources.change_source(source, trust="low", max_share=None, actor="ana", now=now())

    in_the_middle(distrust)

    imports.start_import(stage(pipeline, CSV), MAPPING, now=now())

    assert states("crm") == {"review": 1200}


def test_nothing_is_imported_into_a_source_that_was_withdrawn_after_the_file_was_sent(pipeline: Pipeline) -> None:
    draft = stage(pipeline, CSV)
    undo(Source.objects.get(name="crm"))

    with pytest.raises(actions.ActionRefused, match="Source crm was withdrawn"):
        imports.start_import(draft, MAPPING, now=now())

    assert Batch.objects.get(pk=draft.pk).is_draft


def test_a_button_that_is_clicked_twice_and_a_file_that_is_sent_twice_import_once(pipeline: Pipeline) -> None:
    twice, other = stage(pipeline, CSV), stage(pipeline, CSV)
    problems: list[BaseException] = []

    def click(draft: Batch) -> None:
        try:
            with scope.client_scope(pipeline.client_id, pipeline.agency_id):
                batch = imports.start_import(draft, MAPPING, now=now(), by_worker=False)
                imports.read_file(batch.pk, now)
        except BaseException as problem:
            problems.append(problem)
        finally:
            connection.close()

    clicks = [threading.Thread(target=click, args=[draft]) for draft in (twice, other, twice, other)]
    for one in clicks:
        one.start()
    for one in clicks:
        one.join()

    assert [problem for problem in problems if not isinstance(problem, actions.ActionRefused)] == []
    assert Batch.objects.filter(is_complete=True).count() == 1
    assert Example.objects.count() == 1200 and set(states("crm")) == {ExampleState.READY}
