"""One person in everything that is kept of a client: found, erased, and the versions that learnt from it told."""

from __future__ import annotations

import io
import json
import unicodedata
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from django.db import models
from django.test import Client as Browser
from django.urls import reverse
from django.utils import timezone

from agency.leaving.export.archive import client_archive, write
from agency.leaving.person.columns import SHOWN, TEXTS
from agency.leaving.person.forget import forget
from agency.leaving.person.needle import ERASED, Needle
from agency.leaving.person.search import find
from agency.leaving.tables import rows_of, tables
from pipelines.actions import ActionRefused
from pipelines.artifacts import store_of
from pipelines.domain.assignment import choose_key
from pipelines.models import (
    Batch,
    Body,
    DatasetVersion,
    Example,
    Exchange,
    Feedback,
    Job,
    ModelVersion,
    RowChange,
    RowDecision,
    Run,
    RunEvent,
    Scorecard,
    StageRun,
)
from tenants import actions
from tenants.models import AuditEvent, Client, EvalCase, EvalSet, Pipeline
from tests import factories

pytestmark = pytest.mark.django_db
NAME = "Inés Öztürk"
SAID = {"actor": "ann@north.example", "reason": "she asked for it", "now": factories.NOW}


# Columns of text in which nobody is named: the program's own words, numbers, marks and secrets.
NOBODY = {
    "pipelines_check": ("phase", "decision", "numbers"),
    "pipelines_datasetversion": ("manifest", "batches"),
    "pipelines_delivery": ("message_id",),
    "pipelines_example": ("before", "rule", "pointer", "language"),
    "pipelines_exchange": ("request_id", "host", "arm", "key_hash"),
    "pipelines_gateresult": ("name", "kind", "effect", "verdict"),
    "pipelines_job": ("stage", "kind", "queue"),
    "pipelines_jobpart": ("name",),
    "pipelines_modelversion": ("status",),
    "pipelines_notice": ("kind", "key"),
    "pipelines_placement": ("status", "facts"),
    "pipelines_replaypair": ("phase",),
    "pipelines_rollback": ("phase", "metric", "numbers"),
    "pipelines_rollout": ("status", "canary", "monitor"),
    "pipelines_rowdecision": ("verb",),
    "pipelines_run": ("stage", "verdict"),
    "pipelines_runevent": ("stage", "from_status", "to_status"),
    "pipelines_scorecard": ("cases", "latency_ms", "engine"),
    "pipelines_stagerun": ("stage", "status"),
    "pipelines_traffic": ("latency", "first_token", "host", "arm"),
    "pipelines_trafficspan": ("latency", "first_token", "host", "arm"),
    "pipelines_triggerdecision": ("occasion",),
    "pipelines_turn": ("queue",),
    "pipelines_waiver": ("gate",),
    "tenants_apikey": ("prefix", "verbs"),
    "tenants_auditevent": ("verb", "previous"),
    "tenants_channel": ("kind", "sealed", "kinds"),
    "tenants_evalcase": ("check_name",),
    "tenants_host": ("kind", "sealed", "access", "facts"),
    "tenants_hostagent": ("prefix", "said"),
    "tenants_hostdrift": ("kind",),
    "tenants_hostsample": ("version",),
    "tenants_judgeendpoint": ("kind",),
    "tenants_membership": ("views",),
    "tenants_proposal": ("kind",),
    "tenants_usageissue": ("month", "currency"),
}


def case(key: str, text: str) -> dict[str, Any]:
    turns = [{"role": "user", "content": text}]
    return {"id": key, "messages": turns, "check": "exact", "expected": {"text": f"Dear {text}"}}


@pytest.fixture
def pipeline(acorn: Client) -> Iterator[Pipeline]:
    """v1 learnt nothing of her, v2 did; she is in rows, sets, answers, kept bodies, feedback and files."""
    made = factories.make_pipeline(acorn)
    factories.make_production(made)
    run = factories.make_production(made, now=factories.NOW + timedelta(days=1))
    with factories.inside(made):
        store = store_of(acorn.pk)
        row = Example.objects.filter(dataset=run.dataset).order_by("pk")[0]
        row.messages = [
            {"role": "user", "content": f"I am {NAME}, where is it?"},
            {"role": "assistant", "content": "there"},
        ]
        row.raw = json.dumps(row.messages)
        row.save()
        decision = RowDecision.of(made, pipeline=made, verb="edited", actor="x", reason="y", at=factories.NOW)
        decision.save()
        RowChange.of(made, decision=decision, example=row, before={"raw": NAME}, after={}).save()
        run.dataset.digest = store.put_bytes(f'{{"messages": "{NAME}"}}\n'.encode())
        run.dataset.save()
        Batch.objects.filter(pk=row.batch_id).update(file_digest=store.put_bytes(b"\x00\x01 packed, cannot be read"))
        actions.put_eval_set(made, "heldout", [case("c1", NAME), case("c2", "Where?")], "tests", factories.NOW)
        told = {"set": "heldout", "arm": "candidate", "score": 1.0}
        lines = ({"id": "c1", "text": NAME}, {"id": "c2", "text": "there"})
        answers = "".join(json.dumps(told | line) + "\n" for line in lines)
        Scorecard.objects.filter(run=run).update(answers_digest=store.put_bytes(answers.encode()))
        Job.objects.filter(run=run).update(log_tail=f"last row: {NAME.upper()}")
        _traffic(made, run)
        run.model_version.card = {"golden_answers": [{"text": f"Dear {NAME}"}, {"text": "there"}]}
        run.model_version.save()
        yield made


def _traffic(made: Pipeline, run: Run) -> None:
    fields = {"host": "shop", "arm": "production", "status": 200, "at": factories.NOW, "finished_at": factories.NOW}
    key = choose_key(None, None, NAME, "").value
    one = Exchange.of(made, pipeline=made, version=run.model_version, request_id="r1", key_hash=key, **fields)
    one.save()
    asked = json.dumps({"messages": [{"role": "user", "content": NAME}]})
    Body.of(made, pipeline=made, exchange=one, request=asked, prompt_digest="d", at=factories.NOW).save()
    Feedback.of(made, exchange=one, is_good=False, comment=f"{NAME} said so", sent_by="key", at=factories.NOW).save()


def test_she_is_found_in_every_place_and_the_versions_are_told(pipeline: Pipeline, acorn: Client) -> None:
    found = find(acorn, Needle("inés öztürk"))

    tables = {place.table.partition("_")[2] for place in found.places}
    assert tables == {"example", "rowchange", "evalcase", "body", "exchange", "feedback", "modelversion", "job"}
    assert len(found.files) == 2
    [learnt] = found.learnt
    assert [v.label for v in learnt.versions] == ["v2"] and learnt.clean is not None and learnt.clean.label == "v1"
    assert find(acorn, Needle("Nobody Anywhere")).count == 0


def test_she_is_erased_and_digests_stay(pipeline: Pipeline, acorn: Client, tmp_path: Path) -> None:
    dataset = DatasetVersion.objects.order_by("-pk")[0].digest
    version = ModelVersion.objects.get(number=2).gguf_digest

    told = forget(acorn, Needle(NAME), **SAID)

    assert find(acorn, Needle(NAME)).count == 0
    write(tmp_path / "all.tar", client_archive(acorn, timezone.now()))
    assert NAME.encode() not in (tmp_path / "all.tar").read_bytes()
    row = Example.objects.get(state="discarded", rule="person_erased")
    assert {m["content"] for m in row.messages} == {ERASED} and row.raw == "" and row.dataset_id
    assert DatasetVersion.objects.order_by("-pk")[0].digest == dataset
    assert ModelVersion.objects.get(number=2).gguf_digest == version
    assert ModelVersion.objects.get(number=2).card == {"golden_answers": [{"text": ERASED}, {"text": "there"}]}
    assert not Body.objects.exists() and Exchange.objects.get().key_hash == ""
    assert not store_of(acorn.pk).has(dataset) and dataset in told["datasets"]
    assert Batch.objects.get(pk=row.batch_id).file_digest == "", "a file that cannot be searched goes with its row"
    assert (told["versions"], told["clean"]) == (["support v2"], {"support": "v1"})


def test_sets_go_on_without_her_and_answers_of_other_cases_stay(pipeline: Pipeline, acorn: Client) -> None:
    forget(acorn, Needle(NAME), **SAID)

    newest = EvalSet.objects.order_by("-version")[0]
    assert newest.version == 2 and [c.key for c in EvalCase.objects.filter(eval_set=newest)] == ["c2"]
    card = Scorecard.objects.order_by("-pk")[0]
    answers = store_of(acorn.pk).verified(card.answers_digest).read_text()
    assert [json.loads(line)["id"] for line in answers.splitlines()] == ["c2"]


def test_the_ledger_says_that_and_not_who(pipeline: Pipeline, acorn: Client) -> None:
    forget(acorn, Needle(NAME), **SAID)

    act = AuditEvent.objects.get(verb="person.forget")
    assert NAME not in json.dumps(act.detail, ensure_ascii=False)
    assert act.detail["rows"]["pipelines_example"] == 1 and act.detail["versions"] == ["support v2"]


def test_nobody_elses_rows_are_read_or_changed(pipeline: Pipeline, acorn: Client, birch: Client) -> None:
    other = factories.make_pipeline(birch)
    factories.make_production(other)
    with factories.inside(birch):
        Example.objects.update(raw=NAME)
    assert sum(p.count for p in find(acorn, Needle(NAME)).places if p.table == "pipelines_example") == 1

    forget(acorn, Needle(NAME), **SAID)

    with factories.inside(birch):
        assert Example.objects.filter(raw=NAME).count() == Example.objects.count() > 0


def test_it_waits_for_a_run_that_is_under_way(pipeline: Pipeline, acorn: Client) -> None:
    factories.make_run(pipeline, at="finetune", status="waiting")

    with pytest.raises(ActionRefused, match="under way"):
        forget(acorn, Needle(NAME), **SAID)


def test_the_page_shows_and_then_erases(owner: Browser, pipeline: Pipeline, acorn: Client) -> None:
    address = reverse("person", args=["acorn"])

    seen = owner.post(address, {"words": NAME})
    assert "pipelines_example" in seen.text and "v1" in seen.text
    count = seen.context["found"].count
    stale = owner.post(address, {"words": NAME, "seen": count - 1, "reason": "she asked"})
    assert stale.status_code == 422 and "changed meanwhile" in stale.text
    done = owner.post(address, {"words": NAME, "seen": count, "reason": "she asked"}, follow=True)

    assert "Erased from" in done.text
    with factories.inside(acorn):
        assert find(acorn, Needle(NAME)).count == 0
    assert owner.post(address, {"words": "In"}).status_code == 422


def texts_of(model: type[models.Model]) -> set[str]:
    """Columns of text that have no fixed set of values and are no digest."""
    kinds = (models.CharField, models.TextField, models.JSONField)
    fields = (field for field in model._meta.local_fields if isinstance(field, kinds) and not field.choices)
    return {field.attname for field in fields if "digest" not in field.attname}


def test_every_column_of_text_is_looked_into_or_said_to_name_nobody() -> None:
    for model in tables():
        table = model._meta.db_table
        lists = [set(known.get(table, ())) for known in (TEXTS, SHOWN, NOBODY)]
        assert set.union(*lists) == texts_of(model), table
        assert sum(map(len, lists)) == len(texts_of(model)), f"{table}: a column is in two lists"


def stored(client: Client) -> dict[str, list[Any]]:
    return {model._meta.db_table: list(rows_of(model, client)) for model in tables()}


@pytest.mark.parametrize("name", ["Eva", "Ole", "Rod", "Fine", "abc"])
def test_a_name_that_is_a_part_of_the_programs_words_is_nobodys(pipeline: Pipeline, acorn: Client, name: str) -> None:
    """evaluate, role, production, finetune, digests: in columns, in sentences, in JSON and in files."""
    StageRun.objects.update(notes={"files": ["abc" * 20], "stage": "finetune", "reason": "next: finetune"})
    said = ("next: evaluate", "next: finetune", "no version in production yet")
    for event in RunEvent.objects.all():
        RunEvent.objects.filter(pk=event.pk).update(reason=said[event.seq % len(said)])
    for run, reason in zip(Run.objects.order_by("pk"), said, strict=False):
        Run.objects.filter(pk=run.pk).update(reason=reason)
    EvalCase.objects.update(origin="production's right answer")
    Example.objects.update(detail="as in evaluation case c1")
    before = stored(acorn)
    assert find(acorn, Needle(name)).count == 0

    told = forget(acorn, Needle(name), **SAID)

    assert (told["rows"], told["files"]) == ({}, [])
    after = stored(acorn)
    assert {table for table in before if before[table] != after[table]} == {AuditEvent._meta.db_table}


@pytest.mark.parametrize("said", ["Eva asked for it", "rejected by EVA", "eva_smith.csv cannot be read"])
def test_a_word_of_its_own_in_the_programs_sentences_is_erased(pipeline: Pipeline, acorn: Client, said: str) -> None:
    event = RunEvent.objects.order_by("pk")[0]
    RunEvent.objects.exclude(pk=event.pk).update(reason="next: evaluate")
    RunEvent.objects.filter(pk=event.pk).update(reason=said)
    [place] = [place for place in find(acorn, Needle("Eva")).places if not place.stays]
    assert [(one.pk, one.text) for one in place.shown] == [(event.pk, said)]

    told = forget(acorn, Needle("Eva"), **SAID)

    assert told["rows"] == {"pipelines_runevent": 1}
    assert RunEvent.objects.get(pk=event.pk).reason == f"{ERASED} {event.pk}"


def test_what_people_write_is_searched_inside_words_too(pipeline: Pipeline, acorn: Client) -> None:
    Feedback.objects.update(comment="ask evasmith")

    found = find(acorn, Needle("Eva"))

    assert [place.table for place in found.places if not place.stays] == ["pipelines_feedback"]


def test_what_is_found_and_not_erased_is_said_so(pipeline: Pipeline, acorn: Client) -> None:
    version = ModelVersion.objects.get(number=2)
    StageRun.objects.filter(run=version.run, stage="evaluate").update(
        notes={"reason": f"as {NAME} said", "worst": {NAME: 0.1}}
    )
    ModelVersion.objects.filter(pk=version.pk).update(system=f"You answer for {NAME}.")

    forget(acorn, Needle(NAME), **SAID)

    row = StageRun.objects.get(run=version.run, stage="evaluate")
    assert row.notes == {"reason": ERASED, "worst": {NAME: 0.1}}, "what the program reads by its keys is left"
    assert ModelVersion.objects.get(pk=version.pk).system == f"You answer for {NAME}."
    found = find(acorn, Needle(NAME))
    left = {place.table for place in found.places if place.stays}
    assert left == {"pipelines_stagerun", "pipelines_modelversion"} and found.count == 0


def test_uploads_are_read_as_they_are_imported_with_every_column_and_sheet(pipeline: Pipeline, acorn: Client) -> None:
    header, row = ("text", "category", "who"), ("Where is it?", "delivery", f"{NAME} <ines@example.org>")
    table = "\n".join(";".join(one) for one in (header, row))
    files = {
        "utf-16.csv": table.encode("utf-16"),
        "windows.csv": table.replace("Ö", "O").replace("ü", "u").encode("cp1252"),
        "first.xlsx": workbook([header, row]),
        "second.xlsx": workbook([header[:2], row[:2]], [], [("Contact",), row[2:]]),
        "rows.parquet": parquet(header, row),
        "nobody.xlsx": workbook([header[:2], row[:2]], []),
        "broken.xlsx": b"PK\x03\x04 no workbook",
    }
    digests = {}
    for name, body in files.items():
        digests[name] = store_of(acorn.pk).put_bytes(body)
        fields = {"source": name, "file_digest": digests[name], "is_complete": True, "created_at": factories.NOW}
        reading = {"encoding": "cp1252"} if name == "windows.csv" else {}
        Batch.of(pipeline, pipeline=pipeline, token=name, reading=reading, **fields).save()

    found = find(acorn, Needle("ines@example.org"))
    assert {name for name, digest in digests.items() if digest in found.files} == {
        "utf-16.csv", "windows.csv", "first.xlsx", "second.xlsx", "rows.parquet",
    }  # fmt: skip
    assert found.unread == (digests["broken.xlsx"],)

    told = forget(acorn, Needle("ines@example.org"), **SAID)
    assert told["unread_files"] == [digests["broken.xlsx"]]
    assert not store_of(acorn.pk).has(digests["utf-16.csv"]) and store_of(acorn.pk).has(digests["nobody.xlsx"])


def workbook(*sheets: list[tuple[str, ...]]) -> bytes:
    book, out = openpyxl.Workbook(), io.BytesIO()
    for number, rows in enumerate(sheets):
        sheet = book.active if not number else book.create_sheet()
        for row in rows:
            sheet.append(row)
    book.save(out)
    return out.getvalue()


def parquet(header: tuple[str, ...], row: tuple[str, ...]) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table({name: [cell] for name, cell in zip(header, row, strict=True)}), out)
    return out.getvalue()


def test_the_ledger_that_came_with_an_archive_stays_and_is_shown(pipeline: Pipeline, acorn: Client) -> None:
    """As the acts that were written here do: its digest stands in the first of them."""
    ledger = store_of(acorn.pk).put_bytes(json.dumps({"verb": "row.edit", "actor": NAME}).encode() + b"\n")
    acorn.origin = {"archive": "0" * 64, "is_whole": True, "ledger": ledger}
    acorn.save()
    assert "ledger.jsonl" in {place.table for place in find(acorn, Needle(NAME)).places if place.stays}

    told = forget(acorn, Needle(NAME), **SAID)

    assert store_of(acorn.pk).has(ledger) and ledger not in told["files"]
    assert find(acorn, Needle(NAME)).count == 0


def test_an_accent_that_is_a_character_of_its_own_hides_nobody(pipeline: Pipeline, acorn: Client) -> None:
    """A Mac and a PDF write it so."""
    apart = unicodedata.normalize("NFD", NAME)
    Example.objects.filter(pk__in=Example.objects.filter(raw="")[:1].values("pk")).update(raw=f"I am {apart}")
    digest = store_of(acorn.pk).put_bytes(f"{apart}\n".encode())

    found = find(acorn, Needle(NAME))

    assert {place.table: place.count for place in found.places}["pipelines_example"] == 2
    assert digest in found.files
    assert find(acorn, Needle(apart)).count == found.count
