"""The demo's data: distinct, realistic, free of leaks, and spoiled only where it is meant to be."""

from __future__ import annotations

import json
import re
from collections import Counter
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from agency.demo.base.corpus import Document, corpus
from agency.demo.data import heronbrook, make_data
from agency.demo.data.wording import NearIndex, jaccard, shingles

FOLDER = Path(make_data.__file__).parent
CLIENTS = tuple(make_data.CLIENTS)
TRAINING = ("v1", "v2", "v3", "v4", "v5", "mislabelled")
EVALUATION = ("heldout", "regression", "safety")
NEAR = 0.7
PLACEHOLDER = re.compile(
    r"\b(lorem|ipsum|foo|baz|qux|xxx+|todo|placeholder|asdf|example text)\b|[{}()|]", re.IGNORECASE
)


@cache
def rows(client: str, stem: str) -> tuple[dict[str, Any], ...]:
    path = FOLDER / client / f"{stem}.jsonl"
    return tuple(map(json.loads, path.read_text(encoding="utf-8").splitlines())) if path.exists() else ()


def texts(client: str, *stems: str) -> list[str]:
    """The customers' words, each case of a safety message once."""
    return list(dict.fromkeys(row["messages"][1]["content"] for stem in stems for row in rows(client, stem)))


@cache
def read_by_the_base() -> tuple[Document, ...]:
    return tuple(corpus())


def index_of(known: list[str]) -> NearIndex:
    index = NearIndex()
    for text in known:
        index.add(text)
    return index


@pytest.mark.parametrize("client", CLIENTS)
def test_the_committed_files_are_what_the_seeded_script_writes(client: str, tmp_path: Path) -> None:
    make_data.write(tmp_path, client)

    for path in sorted((tmp_path / client).iterdir()):
        assert path.read_bytes() == (FOLDER / client / path.name).read_bytes(), path.name


@pytest.mark.parametrize("client", CLIENTS)
def test_no_two_messages_of_a_client_are_near_duplicates(client: str) -> None:
    index, near = NearIndex(), []
    stems = (*TRAINING, "heldout", "regression", "traffic", "safety")
    kept = [row for stem in stems for row in rows(client, stem) if "-form" not in row.get("id", "")]
    for text in [row["messages"][1]["content"] for row in kept]:
        score, other = index.nearest(text)
        near += [(text, other)] if score >= NEAR else []
        index.add(text)

    assert len(index.texts) > 1000
    assert near == []


def test_the_near_index_agrees_with_plain_jaccard() -> None:
    known = texts("heronbrook", "v1")
    index = index_of(known)

    for text in texts("heronbrook", "v2")[:40]:
        best = max(jaccard(shingles(text), shingles(other)) for other in known)
        assert index.nearest(text)[0] == pytest.approx(best)


@pytest.mark.parametrize("client", CLIENTS)
def test_nothing_the_base_model_read_is_near_an_evaluation_row(client: str) -> None:
    judged = index_of(texts(client, *EVALUATION, "traffic"))
    read = dict.fromkeys(document.user for document in read_by_the_base())

    near = [(text, other) for text in read if (found := judged.nearest(text))[0] >= NEAR and (other := found[1])]

    assert len(read) > 10_000
    assert near == []


@pytest.mark.parametrize("client", CLIENTS)
def test_the_base_model_was_never_shown_a_client_s_task(client: str) -> None:
    systems = {document.system for document in read_by_the_base()}
    answers = {document.assistant for document in read_by_the_base()}

    assert make_data.CLIENTS[client].SYSTEM not in systems
    assert not answers & {row["messages"][2]["content"] for row in rows(client, "v1")}


@pytest.mark.parametrize("client", CLIENTS)
def test_no_text_is_a_placeholder_or_an_unfilled_template(client: str) -> None:
    for text in texts(client, *TRAINING, *EVALUATION, "traffic"):
        assert not PLACEHOLDER.search(text), text


@pytest.mark.parametrize("client", CLIENTS)
def test_each_client_has_enough_of_everything(client: str) -> None:
    right = [stem for stem in TRAINING if stem != "mislabelled"]
    drops = [len(rows(client, stem)) for stem in right if rows(client, stem)]

    assert sum(drops) >= 300
    assert min(drops) >= 120
    assert len(rows(client, "heldout")) >= 200
    assert len(rows(client, "regression")) == 50
    assert len(rows(client, "safety")) >= 20
    assert len(rows(client, "traffic")) == 400


@pytest.mark.parametrize("client", CLIENTS)
def test_case_ids_are_unique_in_a_client(client: str) -> None:
    ids = [row["id"] for stem in (*EVALUATION, "traffic") for row in rows(client, stem)]

    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("client", CLIENTS)
def test_clean_drops_have_the_same_answers_in_the_same_shares(client: str) -> None:
    counts = [Counter(row["messages"][2]["content"] for row in rows(client, f"v{n}")) for n in range(1, 6)]

    for one, other in pairwise(count for count in counts if count):
        assert one.keys() == other.keys()
        assert total_variation(one, other) < 0.01


def total_variation(one: Counter[str], other: Counter[str]) -> float:
    return sum(abs(one[k] / one.total() - other[k] / other.total()) for k in one.keys() | other.keys()) / 2


def test_the_mislabelled_batch_looks_normal_and_is_at_most_thirty_percent_wrong() -> None:
    usual = Counter(row["messages"][2]["content"] for row in rows("heronbrook", "v1"))
    batch = Counter(row["messages"][2]["content"] for row in rows("heronbrook", "mislabelled"))

    assert total_variation(usual, batch) < 0.2
    assert 0.25 <= sum(batch[label] for label in heronbrook.SWAPPED) / batch.total() <= 0.30


def well_formed(line: str) -> bool:
    try:
        turns = json.loads(line)["messages"]
        return [turn["role"] for turn in turns] == ["system", "user", "assistant"] and all(
            turn["content"].strip() for turn in turns
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return False


def test_the_spoiled_batch_breaks_several_rules_at_once() -> None:
    lines = (FOLDER / "heronbrook" / "malformed.jsonl").read_text(encoding="utf-8").splitlines()
    good = [json.loads(line) for line in lines if well_formed(line)]
    said = [row["messages"][1]["content"] for row in good]
    labels = Counter(row["messages"][2]["content"] for row in good)

    assert (len(lines) - len(good)) / len(lines) > 0.05
    assert len(set(said) & set(texts("heronbrook", "v1"))) >= 3
    assert len(set(said) & set(texts("heronbrook", "heldout"))) == 3
    assert total_variation(labels, Counter(dict.fromkeys(heronbrook.labels(), 1))) > 0.30
    assert near_twins(said) == 6


def near_twins(said: list[str]) -> int:
    index, found = NearIndex(), 0
    for text in said:
        found += index.nearest(text)[0] >= 0.95
        index.add(text)
    return found
