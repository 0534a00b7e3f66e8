"""Where rows come from, and what follows: trust, shares, withdrawal; what a dataset holds; what never trains."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from io import BytesIO

import pytest
from django.db import Error, transaction
from django.utils.timezone import now

from agency.leaving.person.needle import Needle
from agency.leaving.person.search import find
from pipelines import actions
from pipelines.actions import imports, sources
from pipelines.artifacts import store_of
from pipelines.imports import BadFile, Mapping
from pipelines.models import Batch, DatasetVersion, Example, ExampleState, ModelVersion, Source, StageRun, Trust
from pipelines.records.dataset import Tally
from pipelines.reports.data.provenance import provenance
from pipelines.stages.finetune import freeze_dataset
from tenants.actions import put_eval_set
from tenants.models import AuditEvent, Pipeline
from tests import factories
from tests.flow.conftest import lines
from tests.flow.test_line import promoted, start


def add(pipeline: Pipeline, first: int, count: int, source: str) -> Batch:
    token = f"{source}-{first}"
    return actions.add_examples(pipeline, lines(first, count), token=token, source=source, actor="tests", now=now())


def states(source: str) -> dict[str, int]:
    rows = Example.objects.filter(batch__origin__name=source)
    return {state: rows.filter(state=state).count() for state in set(rows.values_list("state", flat=True))}


def test_rows_of_a_source_of_low_trust_wait_until_a_person_lets_them_through(pipeline: Pipeline) -> None:
    add(pipeline, 0, 30, "archive")
    add(pipeline, 100, 6, "feedback")

    run = start(pipeline)
    held_back = list(Example.objects.filter(state=ExampleState.REVIEW).values_list("pk", flat=True))
    actions.release_rows(pipeline, ids=held_back[:4], actor="ana", reason="looked at each", now=now())

    assert Source.objects.get(name="feedback").trust == Trust.LOW
    assert run.dataset.rows_total == 30
    assert states("feedback") == {"review": 2, "ready": 4}
    assert set(Example.objects.filter(pk__in=held_back[:4]).values_list("rule", flat=True)) == {""}


def test_trust_can_change_and_rows_that_never_trained_follow(pipeline: Pipeline) -> None:
    add(pipeline, 0, 5, "archive")
    source = Source.objects.get(name="archive")

    sources.change_source(source, trust="low", max_share=None, actor="ana", now=now())
    waiting = states("archive")
    sources.change_source(source, trust="high", max_share=0.5, actor="ana", now=now())

    assert waiting == {"review": 5} and states("archive") == {"ready": 5}
    assert AuditEvent.objects.filter(verb="source.change").count() == 2


def test_no_more_of_a_source_trains_than_its_share_and_the_rest_comes_when_there_is_more_else(
    pipeline: Pipeline,
) -> None:
    add(pipeline, 0, 40, "archive")
    add(pipeline, 100, 30, "synthetic")
    Source.objects.filter(name="synthetic").update(max_share=0.2)

    run = promoted(pipeline)
    add(pipeline, 200, 40, "archive")
    second = start(pipeline)

    assert run.dataset.left_out == {"synthetic": 20} and run.dataset.rows_total == 50
    assert second.dataset.left_out == {"synthetic": 10} and second.dataset.rows_total == 100
    left = Example.objects.filter(rule="source_share").first()
    assert left is not None and left.detail == "Source synthetic may be 20 % of a training set at most."


def test_the_same_rows_give_the_same_digest_in_any_order(pipeline: Pipeline) -> None:
    said = [*lines(0, 20), *lines(5, 3)]  # Some twice: equal content, other ids.
    digests = []
    for order in (said, said[::-1]):
        batch = actions.add_examples(pipeline, order, token=str(len(digests)), actor="tests", now=now())
        digests.append(list(Tally(BytesIO()).write(Example.objects.filter(batch=batch))))

    assert digests[0] == digests[1] and len(digests[0]) == 23


def test_a_manifest_lists_the_rows_of_the_dataset_and_where_they_came_from(pipeline: Pipeline) -> None:
    batch = add(pipeline, 0, 30, "archive")

    dataset = start(pipeline).dataset

    store = store_of(pipeline.client_id)
    head, *rows = [json.loads(line) for line in store.verified(dataset.manifest).read_text().splitlines()]
    trained = store.verified(dataset.digest).read_text().splitlines()
    assert head["dataset"] == dataset.digest and head["rows"] == len(rows) == len(trained) == 30
    assert dataset.batches == head["uploads"] == {str(batch.pk): 30}
    first = Example.objects.get(pk=rows[0][4])
    assert [first.content_digest, first.label] == [rows[0][0], rows[0][2]]
    assert json.loads(trained[0])["messages"] == first.messages


def test_an_upload_is_undone_whole_and_brought_back_whole(pipeline: Pipeline) -> None:
    batch = actions.add_examples(pipeline, [*lines(0, 8), b"broken"], token="t", actor="tests", now=now())

    undone = sources.withdraw(batch, actor="ana", reason="wrong file", now=now())
    while_undone = states("upload")
    sources.bring_back(batch, actor="ana", reason="it was right", now=now())

    assert undone == 9 and while_undone == {"withdrawn": 9}
    assert states("upload") == {"ready": 8, "quarantined": 1}
    verbs = list(AuditEvent.objects.filter(verb__startswith="batch.").values_list("verb", flat=True))
    assert verbs == ["batch.withdraw", "batch.bring_back"]


def test_withdrawing_names_the_versions_that_learnt_from_it_and_the_last_clean_one(pipeline: Pipeline) -> None:
    add(pipeline, 0, 40, "archive")
    promoted(pipeline)
    add(pipeline, 100, 40, "scraped")
    second = start(pipeline)

    found = provenance(Source.objects.get(name="scraped"))

    assert [(learnt.version.label, learnt.rows, learnt.is_production) for learnt in found.learnt] == [("v2", 40, False)]
    assert found.last_clean is not None and found.last_clean.label == "v1"
    assert found.live_run == second


def test_a_version_that_learnt_from_rows_that_were_brought_back_is_never_called_clean(pipeline: Pipeline) -> None:
    add(pipeline, 0, 30, "archive")
    letters = add(pipeline, 100, 10, "letters")
    promoted(pipeline)
    sources.withdraw(letters, actor="ana", reason="no licence", now=now())
    add(pipeline, 200, 40, "archive")
    start(pipeline)
    sources.bring_back(letters, actor="ana", reason="there is one", now=now())
    assert not Example.objects.filter(batch=letters).exclude(dataset=None).exists()

    [learnt] = find(pipeline.client, Needle("wording105")).learnt

    assert [version.label for version in learnt.versions] == ["v1"]
    assert learnt.clean is None


def test_a_version_whose_run_came_to_nothing_learnt_all_the_same(pipeline: Pipeline) -> None:
    add(pipeline, 0, 30, "archive")
    actions.cancel(start(pipeline), actor="ana", reason="not now", now=now())

    [learnt] = find(pipeline.client, Needle("wording5")).learnt

    assert [version.label for version in learnt.versions] == ["v1"]
    assert find(pipeline.client, Needle("wording99")).learnt == ()


def test_rows_of_a_withdrawn_source_train_no_more_and_none_can_be_added(pipeline: Pipeline) -> None:
    add(pipeline, 0, 40, "archive")
    add(pipeline, 100, 40, "scraped")
    promoted(pipeline)

    sources.withdraw(Source.objects.get(name="scraped"), actor="ana", reason="no licence", now=now())
    add(pipeline, 200, 40, "archive")
    second = start(pipeline)

    assert second.dataset.rows_total == 80 and set(second.dataset.batches.values()) == {40}
    with pytest.raises(actions.ActionRefused, match="Source scraped was withdrawn"):
        add(pipeline, 300, 1, "scraped")


def test_an_upload_that_was_undone_by_itself_stays_so_when_its_source_comes_back(pipeline: Pipeline) -> None:
    first, _second = add(pipeline, 0, 3, "archive"), add(pipeline, 100, 4, "archive")
    source = Source.objects.get(name="archive")

    sources.withdraw(first, actor="ana", reason="wrong file", now=now())
    sources.withdraw(source, actor="ana", reason="no licence", now=now())
    with pytest.raises(actions.ActionRefused, match="Bring the source back first"):
        sources.bring_back(first, actor="ana", reason="again", now=now())
    sources.bring_back(source, actor="ana", reason="licensed", now=now())

    assert states("archive") == {"withdrawn": 3, "ready": 4}


def test_the_database_refuses_to_train_what_an_evaluation_set_asks(pipeline: Pipeline) -> None:
    add(pipeline, 0, 30, "archive")
    run = start(pipeline)
    add(pipeline, 100, 1, "archive")
    row = Example.objects.latest("id")
    case = {"id": "one", "messages": row.messages[:1], "check": "label", "expected": {"label": row.label}}
    put_eval_set(pipeline, "heldout", [case], "ana", now())

    for change in ({"dataset": run.dataset}, {"dataset": run.dataset, "state": ExampleState.EVALUATION}):
        with pytest.raises(Error), transaction.atomic():
            Example.objects.filter(pk=row.pk).update(**change)
    with pytest.raises(Error), transaction.atomic():
        Example.of(row, pipeline=pipeline, batch=row.batch, line=99, dataset=run.dataset,
                   input_digest=row.input_digest, created_at=now()).save()  # fmt: skip
    Example.objects.filter(pk=row.pk).update(state=ExampleState.EVALUATION)


def stage(pipeline: Pipeline, body: bytes, name: str = "rows.csv", at: datetime | None = None) -> Batch:
    return imports.stage_file(pipeline, "crm", name, [body], actor="ana", now=at or now())


CSV = b"Frage;Antwort\n" + b"".join(f"frage{n} wort{n} satz{n};billing\n".encode() for n in range(1200))
MAPPING = Mapping(user="Frage", label="Antwort", instruction="Antworte knapp.")


def test_a_file_is_read_by_a_worker_and_its_source_remembers_how(pipeline: Pipeline) -> None:
    batch = imports.start_import(stage(pipeline, CSV), MAPPING, now=now())
    batch.refresh_from_db()

    again = stage(pipeline, CSV + b"noch eine frage;delivery\n")

    assert (batch.is_complete, batch.rows, batch.progress, batch.due_at) == (True, 1200, 1.0, None)
    assert Example.objects.filter(batch=batch).first().messages[0] == {"role": "system", "content": "Antworte knapp."}
    assert Mapping.model_validate(again.reading).user == "Frage"


def test_the_same_file_again_is_the_same_upload(pipeline: Pipeline) -> None:
    first = imports.start_import(stage(pipeline, CSV), MAPPING, now=now())

    again = imports.start_import(stage(pipeline, CSV), MAPPING, now=now())

    assert again.pk == first.pk and Batch.objects.count() == 1
    first.refresh_from_db()
    sources.withdraw(first, actor="ana", reason="wrong mapping", now=now())
    with pytest.raises(actions.ActionRefused, match=r"was undone .wrong mapping"):
        imports.start_import(stage(pipeline, CSV), MAPPING, now=now())


def test_a_file_whose_reader_was_killed_goes_on_where_it_stopped(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imports, "finish", _killed)
    draft = stage(pipeline, CSV)
    with pytest.raises(SystemExit):
        imports.start_import(draft, MAPPING, now=factories.NOW)
    monkeypatch.undo()
    stored = Example.objects.filter(batch=draft).count()

    imports.read_file(draft.pk, lambda: now() + timedelta(minutes=5))  # Its lease is over by then.

    assert stored == 1200 == Example.objects.filter(batch=draft).count()
    assert Batch.objects.get(pk=draft.pk).is_complete


def _killed(*_args: object) -> None:
    raise SystemExit


def test_a_file_that_breaks_in_the_middle_leaves_nothing_and_says_why(pipeline: Pipeline) -> None:
    batch = imports.start_import(stage(pipeline, CSV + b'"never closed;x\nmore;y\n'), MAPPING, now=now())

    batch.refresh_from_db()

    assert batch.is_draft and batch.error.startswith("A quotation mark that opens at line 1202 is never closed.")
    assert not Example.objects.exists() and batch.rows == 0


def test_a_file_that_was_given_up_may_be_read_in_the_same_way_again(pipeline: Pipeline) -> None:
    broken = CSV + b'"never closed;x\nmore;y\n'
    first = imports.start_import(stage(pipeline, broken), MAPPING, now=now())
    first.refresh_from_db()

    again = imports.start_import(first, MAPPING, now=now())
    other = imports.start_import(stage(pipeline, broken), MAPPING, now=now())

    assert again.pk == first.pk != other.pk
    assert [batch.error[:16] for batch in Batch.objects.all()] == ["A quotation mark"] * 2


def test_a_mapping_that_cannot_be_is_refused_before_anything_is_read(pipeline: Pipeline) -> None:
    draft = stage(pipeline, CSV)

    with pytest.raises(BadFile, match="no column Kunde"):
        imports.start_import(draft, Mapping(user="Kunde", label="Antwort"), now=now())

    assert Batch.objects.get(pk=draft.pk).is_draft and not Example.objects.exists()


def test_a_dataset_of_a_version_is_never_written_twice(pipeline: Pipeline) -> None:
    add(pipeline, 0, 30, "archive")
    run = start(pipeline)
    made = run.dataset

    again = freeze_dataset(run, StageRun.objects.get(run=run, stage="finetune"), now())

    assert again.pk == made.pk and DatasetVersion.objects.count() == 1
    assert ModelVersion.objects.get(run=run).dataset_id == made.pk


def test_a_file_of_another_kind_is_not_read_as_the_last_one_of_its_source(pipeline: Pipeline) -> None:
    first = imports.stage_file(
        pipeline, "mixed", "a.jsonl", [b'{"input": "a", "output": "billing"}\n'], actor="ana", now=now()
    )
    imports.start_import(first, Mapping(format="jsonl", encoding="utf-8"), now=now(), by_worker=False)

    again = imports.stage_file(
        pipeline, "mixed", "b.jsonl", [b'{"input": "b", "output": "billing"}\n'], actor="ana", now=now()
    )
    table = imports.stage_file(pipeline, "mixed", "c.csv", [b"text,category\nHello?,billing\n"], actor="ana", now=now())

    assert again.reading["format"] == "jsonl"
    assert (table.reading["format"], table.reading["encoding"]) == ("", "")
    imports.start_import(table, Mapping.model_validate(table.reading), now=now(), by_worker=False)
    imports.read_file(table.pk, now)
    table.refresh_from_db()
    assert (table.rows, table.quarantined) == (1, 0)
