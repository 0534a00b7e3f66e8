"""One person in everything that is kept of a client: found, erased, and the versions that learnt from it told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client as Browser
from django.urls import reverse
from django.utils import timezone

from agency.leaving.export.archive import client_archive, write
from agency.leaving.person.forget import forget
from agency.leaving.person.needle import ERASED, Needle
from agency.leaving.person.search import find
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
    Scorecard,
)
from tenants import actions
from tenants.models import AuditEvent, Client, EvalCase, EvalSet, Pipeline
from tests import factories

pytestmark = pytest.mark.django_db
NAME = "Inés Öztürk"
SAID = {"actor": "ann@north.example", "reason": "she asked for it", "now": factories.NOW}


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
