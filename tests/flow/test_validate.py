"""Stage validate on rows: what each check sets aside, what it says, and that no evaluation row ever trains."""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from collections.abc import Callable
from typing import Any

from django.utils.timezone import now

from pipelines import actions
from pipelines.artifacts import store_of
from pipelines.models import DatasetVersion, Example, Run, SignatureBlock
from pipelines.validation.judging import judge_rows
from tenants.actions import put_eval_set
from tenants.models import AuditEvent, Pipeline
from tests import factories
from tests.flow.conftest import lines
from tests.flow.test_line import promoted, start

WORDS = [f"word{n}" for n in range(80)]


def row(said: str, label: str) -> bytes:
    turns = [{"role": "user", "content": said}, {"role": "assistant", "content": label}]
    return json.dumps({"messages": turns}).encode()


def case(line: bytes) -> dict[str, Any]:
    """An evaluation case that asks what the row asks."""
    user, answer = json.loads(line)["messages"]
    return {"id": "c", "messages": [user], "check": "label", "expected": {"label": answer["content"]}}


def trained(run: Run) -> str:
    """The text of the dataset that the run froze."""
    dataset = DatasetVersion.objects.get(run=run)
    return store_of(run.client_id).verified(dataset.digest).read_text()


def rule_of(line: int, batch: str) -> tuple[str, str]:
    found = Example.objects.get(batch__token=batch, line=line)
    return found.state, found.rule


def test_each_row_that_breaks_a_rule_is_named_with_its_rule(pipeline: Pipeline, add_rows: Callable[..., None]) -> None:
    put_eval_set(pipeline, "heldout", [case(row("where is my big red parcel", "delivery"))], "tests", factories.NOW)
    long = " ".join(WORDS)
    extra = (
        lines(0, 1)[0],  # 31: the same as line 1
        lines(0, 1, labels=("returns",))[0],  # 32: as line 1, with another answer
        row(long, "billing"),  # 33
        row(f"{long} more", "billing"),  # 34: nearly as line 33
        row("Where is  my big red parcel", "billing"),  # 35: what the evaluation set asks
    )
    add_rows(0, 30, *extra)
    run = start(pipeline)

    assert run.status == "held", run.reason
    assert [rule_of(line, "t0") for line in range(31, 36)] == [
        ("duplicate", "duplicate"),
        ("quarantined", "conflict"),
        ("ready", ""),
        ("quarantined", "near_duplicate"),
        ("quarantined", "leakage"),
    ]
    report = run.stages.get(stage="validate").output
    assert (report["rows"], report["usable"]) == (35, 31)
    assert report["rules"] == {"duplicate": 1, "conflict": 1, "near_duplicate": 1, "leakage": 1}


def test_a_near_copy_of_an_evaluation_case_never_trains(pipeline: Pipeline, add_rows: Callable[..., None]) -> None:
    put_eval_set(pipeline, "heldout", [case(row(" ".join(WORDS), "billing"))], "tests", factories.NOW)
    add_rows(0, 30, row(" ".join([*WORDS, "please"]), "billing"))
    run = start(pipeline)

    assert rule_of(31, "t0") == ("quarantined", "leakage")
    assert "please" not in trained(run)


def test_a_set_that_comes_later_takes_its_rows_out_of_the_training(
    pipeline: Pipeline, add_rows: Callable[..., None]
) -> None:
    add_rows(0, 30)
    first = promoted(pipeline)
    assert "question3 " in trained(first)
    put_eval_set(pipeline, "heldout", [case(lines(3, 1)[0])], "tests", now())
    add_rows(100, 30)
    run = start(pipeline)

    assert "question3 " not in trained(run)
    assert "question4 " in trained(run)
    assert rule_of(4, "t0") == ("quarantined", "leakage")


def test_a_new_case_quarantines_its_twins_at_once(pipeline: Pipeline, add_rows: Callable[..., None]) -> None:
    long = " ".join(WORDS)
    add_rows(0, 30, row(long, "billing"))
    promoted(pipeline)
    actions.add_examples(pipeline, lines(200, 2), token="waiting", actor="tests", now=now())
    asked = [case(lines(3, 1)[0]), case(row(f"{long} please", "billing")), case(lines(201, 1)[0])]

    made = actions.put_set(
        pipeline, "heldout", [c | {"id": f"c{n}"} for n, c in enumerate(asked)], actor="owner", note="", now=now()
    )

    assert [rule_of(line, "t0") for line in (4, 31)] == [("quarantined", "leakage")] * 2
    assert [rule_of(line, "waiting") for line in (1, 2)] == [("ready", ""), ("quarantined", "leakage")]
    assert Example.objects.filter(rule="leakage").count() == 3
    said = Example.objects.get(batch__token="t0", line=31).detail
    assert said == f"Case c1 of the held-out set (version {made.version}) asks the same."
    act = AuditEvent.objects.get(verb="rows.quarantine")
    assert (act.actor, act.detail["rows"]) == ("owner", 3)


def test_rows_that_were_signed_by_older_hashes_are_signed_anew(
    pipeline: Pipeline, add_rows: Callable[..., None]
) -> None:
    long = " ".join(WORDS)
    add_rows(0, 30, row(long, "billing"))
    promoted(pipeline)
    SignatureBlock.objects.update(version=1, contents=b"")
    Example.objects.update(signature=1)
    add_rows(100, 30, row(f"{long} more", "billing"))
    start(pipeline)

    assert rule_of(31, "t100") == ("quarantined", "near_duplicate")
    assert not SignatureBlock.objects.filter(version=1).exists()


def test_with_validation_switched_off_evaluation_rows_still_never_train(
    transactional_db: None, quick_jobs: dict[int, int]
) -> None:
    made = factories.make_pipeline(stages=("trigger", "finetune", "evaluate", "deploy"))
    with factories.inside(made):
        put_eval_set(made, "heldout", [case(lines(3, 1)[0])], "tests", factories.NOW)
        actions.add_examples(made, lines(0, 30), token="t", actor="tests", now=now())
        text = trained(start(made))

    assert "question3 " not in text
    assert "question4 " in text


def test_a_skewed_batch_is_held_and_a_person_confirms_it(pipeline: Pipeline, add_rows: Callable[..., None]) -> None:
    add_rows(0, 60)
    promoted(pipeline)
    actions.add_examples(pipeline, lines(100, 60, ("billing",)), token="skewed", actor="tests", now=now())
    run = start(pipeline)
    assert (run.status, run.stage) == ("held", "validate")
    assert "label shift: total variation 0.67 > 0.30" in run.reason
    assert "one label: 'billing' has 100 % of the new rows" in run.reason
    actions.approve(run, actor="owner", reason="a campaign of this week", now=now())
    run = Run.objects.get(pk=run.pk)

    assert run.stage == "deploy"


def test_rows_that_a_person_released_train_unless_they_leak(pipeline: Pipeline, add_rows: Callable[..., None]) -> None:
    long = " ".join(WORDS)
    add_rows(0, 30, row(long, "billing"), row(f"{long} more", "billing"))
    promoted(pipeline)
    kept_back = Example.objects.get(rule="near_duplicate")
    actions.release_rows(pipeline, ids=[kept_back.pk], actor="owner", reason="both are meant", now=now())
    add_rows(100, 30)
    run = start(pipeline)

    assert f"{long} more" in trained(run)
    assert Counter(Example.objects.values_list("state", flat=True)) == {"ready": 62}


def test_personal_data_is_masked_or_quarantined_as_the_client_chose(transactional_db: None) -> None:
    for choice, state, said in (
        ("mask", "ready", "write to [email]"),
        ("quarantine", "quarantined", "write to ana@mail.example.org"),
        ("off", "ready", "write to ana@mail.example.org"),
    ):
        made = factories.make_pipeline(data={"min_new_examples": 10, "secrets": choice})
        with factories.inside(made):
            added = [*lines(0, 30), row("write to ana@mail.example.org", "billing")]
            actions.add_examples(made, added, token="t", actor="tests", now=now())
            report = judged(made)
            found = Example.objects.get(line=31)

        assert (found.state, found.messages[0]["content"]) == (state, said)
        assert report["masked"] == (choice == "mask")
        assert "ana@" not in found.detail


def judged(made: Pipeline) -> dict[str, Any]:
    """The report of a run's checks."""
    run = factories.make_run(made, at="validate", status="running")
    return judge_rows(run, made.settings, run.stages.get(stage="validate"), now())


def test_a_row_unlike_every_category_waits_for_a_label(transactional_db: None) -> None:
    made = factories.make_pipeline(data={"min_new_examples": 10})
    with factories.inside(made):
        known = [row(f"my invoice {n} is wrong since day {n}", "billing") for n in range(120)]
        actions.add_examples(made, known, token="known", actor="tests", now=now())
        Example.objects.update(dataset=stand_in(made))
        fresh = [row(f"invoice {n} of mine, is it wrong", "billing") for n in range(500, 520)]
        fresh.append(row("quantum flux capacitor", "billing"))
        actions.add_examples(made, fresh, token="fresh", actor="tests", now=now())
        report = judged(made)

        assert rule_of(21, "fresh") == ("review", "novel")
        assert sum(len(block.ids) // 8 for block in SignatureBlock.objects.all()) == 120 + 21
        assert rule_of(1, "fresh") == ("ready", "")
        assert (report["rules"], report["usable"]) == ({"novel": 1}, 20)


def test_another_language_and_length_hold_the_run(transactional_db: None) -> None:
    made = factories.make_pipeline(data={"min_new_examples": 10})
    with factories.inside(made):
        known = [row(f"where is the parcel{n} that I have ordered", "billing") for n in range(60)]
        actions.add_examples(made, known, token="known", actor="tests", now=now())
        Example.objects.update(dataset=stand_in(made))
        long = " ".join(f"wort{n}" for n in range(90))
        fresh = [row(f"wo ist das Paket{n} und {n} {long}", "billing") for n in range(30)]
        actions.add_examples(made, fresh, token="fresh", actor="tests", now=now())
        found = judged(made)["distribution"]

        assert (found["languages"]["existing"], found["lengths"]["existing"]) == ({"en": 60}, {"9-12 words": 60})
        assert any("language shift: total variation 1.00" in sentence for sentence in found["breaches"])
        assert any("length shift: total variation 1.00" in sentence for sentence in found["breaches"])


def stand_in(made: Pipeline) -> DatasetVersion:
    """A dataset that the rows at hand trained."""
    run = factories.make_run(made, at="validate", status="cancelled")
    dataset = DatasetVersion.of(
        run, pipeline=made, run=run, digest="0" * 64, rows_total=0, rows_new=0, created_at=now()
    )
    dataset.save()
    return dataset


def test_accents_that_are_characters_of_their_own_hide_no_twin(
    pipeline: Pipeline, add_rows: Callable[..., None]
) -> None:
    asked, known = "¿Dónde está la devolución?", f"¿Cuándo llegará? {' '.join(WORDS)}"
    put_eval_set(pipeline, "heldout", [case(row(asked, "returns"))], "tests", factories.NOW)
    extra = (row(known, "billing"), row(apart(known), "returns"), row(apart(asked), "returns"))
    add_rows(0, 30, *extra)
    run = start(pipeline)

    assert [rule_of(line, "t0") for line in (31, 32, 33)] == [
        ("ready", ""),
        ("quarantined", "conflict"),
        ("quarantined", "leakage"),
    ]
    assert "devoluci" not in trained(run)


def test_rows_and_cases_of_before_one_form_was_taken_are_found_by_their_words(
    pipeline: Pipeline, add_rows: Callable[..., None]
) -> None:
    """Their digests are those of the text as it came."""
    asked = "¿Dónde está la devolución?"
    made = put_eval_set(pipeline, "heldout", [case(row(apart(asked), "returns"))], "tests", factories.NOW)
    made.cases.update(input_digest="0" * 64)
    add_rows(0, 30, row(asked, "returns"))
    start(pipeline)

    assert rule_of(31, "t0") == ("quarantined", "leakage")


def apart(text: str) -> str:
    """As a Mac names it, or a PDF gives it."""
    return unicodedata.normalize("NFD", text)
