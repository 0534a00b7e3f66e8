"""The user's own rows in the demo: read strictly, drawn by a seed, beside yardsticks; refusals say what to do."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from django.core.management.base import CommandError

from agency.demo import acts, own_data, yardsticks
from agency.demo.clients import changed_settings
from agency.demo.own_rows import DROP_ROWS, OwnRow, read_csv, read_folder, select, stratified

THINGS = ("card", "loan", "account", "cheque", "refund", "rate", "fee", "limit", "branch", "app", "code", "letter")


def written(path: Path, rows: Iterable[tuple[str, ...]], header: tuple[str, ...] = ("text", "category")) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def texts(thing: str, count: int, word: str = "question") -> list[tuple[str, str]]:
    return [(f"{word} {n} about my {thing}, please", f"about_{thing}") for n in range(count)]


def rows(*counts: int, word: str = "question") -> list[tuple[str, str]]:
    """The first category with the first count of rows, and so on."""
    return [row for thing, count in zip(THINGS, counts, strict=False) for row in texts(thing, count, word)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    written(tmp_path / "train.csv", rows(*range(190, 70, -10)))
    written(tmp_path / "test.csv", rows(*[20] * 12, word="test"))
    return tmp_path


def own_rows(found: list[tuple[str, str]]) -> list[OwnRow]:
    return [OwnRow(category, text) for text, category in found]


def test_the_ten_most_frequent_categories_are_used_and_no_others(folder: Path) -> None:
    found = read_folder(folder)

    assert found.categories == tuple(f"about_{thing}" for thing in THINGS[:10])
    used = [*found.drops[0], *found.drops[1], *found.heldout, *found.traffic]
    assert {row.category for row in used} == set(found.categories)


def test_the_same_seed_draws_the_same_rows_and_another_one_others() -> None:
    train, test = own_rows(rows(*[150] * 10)), own_rows(rows(*[60] * 10, word="test"))

    assert select(train, test, seed=1) == select(list(reversed(train)), list(reversed(test)), seed=1)
    assert select(train, test, seed=1).drops != select(train, test, seed=2).drops


def test_both_drops_are_stratified_and_share_no_row_with_each_other_or_the_traffic(folder: Path) -> None:
    found = read_folder(folder)
    first, second = (Counter(row.category for row in drop) for drop in found.drops)

    assert sum(first.values()) == sum(second.values()) == DROP_ROWS
    assert all(abs(first[name] - second[name]) <= 1 for name in found.categories)
    assert len({*found.drops[0], *found.drops[1], *found.traffic}) == 2 * DROP_ROWS + len(found.traffic)


@pytest.mark.parametrize("size", [7, 50, 99, 100, 500])
def test_a_stratified_draw_keeps_the_proportions_and_has_the_wanted_size(size: int) -> None:
    known = own_rows(rows(60, 30, 10))

    counts = Counter(row.category for row in stratified(known, size, seed=3))

    assert sum(counts.values()) == min(size, 100)
    assert all(
        abs(counts[f"about_{thing}"] - min(size, 100) * share) < 1
        for thing, share in zip(THINGS, (0.6, 0.3, 0.1), strict=False)
    )


def test_a_folder_with_few_rows_is_halved_and_its_held_out_rows_ask_the_traffics_questions(tmp_path: Path) -> None:
    written(tmp_path / "train.csv", rows(130, 131))
    written(tmp_path / "test.csv", rows(40, 40, word="test"))

    found = read_folder(tmp_path)

    assert [len(drop) for drop in found.drops] == [131, 130]
    assert set(found.traffic) == set(found.heldout)


def test_a_byte_order_mark_other_columns_and_quoted_commas_are_read(tmp_path: Path) -> None:
    path = tmp_path / "train.csv"
    path.write_text('﻿id,category,text\n1,billing," Why, oh why? "\n', encoding="utf-8")

    assert read_csv(path) == [OwnRow("billing", "Why, oh why?")]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "lacks the column text, category"),
        (b"text,label\na,b\n", "lacks the column category. Its first line must be: text,category"),
        (b"text,category\nhello,\n", "line 2: a row needs a text and a category"),
        (b"text,category\nhello\n", "line 2: a row needs a text and a category"),
        (b"text,category\nfine,x\nyes, it is,x\n", "line 3: a row needs a text and a category"),
        (b"text,category\ncaf\xe9,x\n", "is not UTF-8: save it as CSV in UTF-8"),
        (b'text,category\n"a"b,x\n', "is no CSV file"),
    ],
)
def test_a_broken_file_is_refused_with_a_sentence(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = tmp_path / "train.csv"
    path.write_bytes(content)

    with pytest.raises(CommandError) as refused:
        read_csv(path)

    assert sentence in str(refused.value)
    assert str(path) in str(refused.value)


@pytest.mark.parametrize(
    ("train", "test", "sentence"),
    [
        (rows(600), rows(100, word="test"), "fewer than 2 categories"),
        (rows(100, 149), rows(50, 50, word="test"), "train.csv has 249 different rows of the 2 most frequent"),
        ([("the same", "a"), ("another", "b")] * 300, [("x", "a")] * 60, "train.csv has 2 different rows"),
        (rows(300, 300), rows(20, 29, word="test"), "test.csv has 49 different rows"),
        (
            rows(300, 300),
            [(text, f"other_{category}") for text, category in rows(99)],
            "test.csv has 0 different rows",
        ),
        ([(text, category * 10) for text, category in rows(300, 300)], rows(90, 90), "is longer than 80 characters"),
    ],
)
def test_too_little_data_is_refused_with_its_numbers(
    tmp_path: Path, train: list[tuple[str, str]], test: list[tuple[str, str]], sentence: str
) -> None:
    written(tmp_path / "train.csv", train)
    written(tmp_path / "test.csv", test)

    with pytest.raises(CommandError) as refused:
        read_folder(tmp_path)

    assert sentence in str(refused.value)


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "test.csv").unlink()

    with pytest.raises(CommandError, match=r"test\.csv is missing\. DATA= names a folder"):
        read_folder(folder)


def test_a_base_that_is_not_installed_is_refused_before_any_row_is_read(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"There is no base model colossus\. BASE= is one of .*tiny"):
        own_data.require(tmp_path / "nowhere", "colossus")


def test_the_yardsticks_score_what_can_be_counted_by_hand() -> None:
    train, test = own_rows(rows(30, 20, 10)), own_rows(rows(10, 5, 5, word="test"))

    assert yardsticks.majority(train, test) == 0.5
    assert yardsticks.tfidf(train, test) == 1.0
    mislabelled = [replace(row, category=test[0].category) for row in test]
    assert yardsticks.tfidf(train, mislabelled) == 0.5


def test_the_client_judges_by_the_closed_set_and_uploads_each_drop_once(folder: Path) -> None:
    client = own_data.own_client(read_folder(folder))

    assert len(client.rows("v1").splitlines()) == len(client.rows("v2").splitlines()) == DROP_ROWS
    assert not set(client.rows("v1").splitlines()) & set(client.rows("v2").splitlines())
    assert all(case["expected"]["label"] in case["expected"]["labels"] for case in client.cases("heldout"))
    assert client.cases("regression") == client.cases("safety") == []


def test_its_settings_differ_from_the_defaults_in_durations_evidence_and_its_own_choices_only(folder: Path) -> None:
    client = own_data.own_client(read_folder(folder))

    changed = {row["setting"].partition(".")[0] for row in changed_settings(client.settings("smollm2"))}

    assert changed == {"recipe", "criteria", "triggers", "rollout", "monitor"}


@pytest.mark.parametrize(("verdict", "is_fair"), [("succeeded", True), ("rejected", True), ("rolled_back", False)])
def test_a_rejected_retrain_is_a_fair_result_and_a_failed_one_is_not(verdict: str, is_fair: bool) -> None:
    act = acts.Act("retrain", "own-data", 2, "v2", "succeeded", verdict, "", 1.0)

    assert own_data._as_fair(act).is_as_expected == is_fair


@pytest.mark.parametrize(
    ("status", "gates", "is_awaited", "fault"),
    [
        ("held", [], True, None),
        ("held in validate", [], True, "waits for a person: the reason"),
        ("held", [("error", "accuracy is not a number")], True, "waits for a person: accuracy is not a number"),
        ("held", [("passed", "fine")], False, "waits for a person: the reason"),
        ("failed", [], True, "failed: the reason"),
        ("skipped", [], False, "skipped: the reason"),
        ("rejected", [], False, None),
        ("waiting", [], True, None),
    ],
)
def test_a_run_that_cannot_go_on_ends_the_act_with_its_reason(
    status: str, gates: list[tuple[str, str]], is_awaited: bool, fault: str | None
) -> None:
    name, _, stage = status.partition(" in ")
    told = [{"verdict": verdict, "sentence": sentence} for verdict, sentence in gates]
    run = {"status": name, "stage": stage or "compare", "reason": "the reason", "gates": told}

    assert own_data.fault_of(run, is_awaited) == fault
