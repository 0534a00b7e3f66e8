"""Largest shares of sources, and the stratified draw of evaluation rows."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.domain.dataset import draw, keep


@pytest.mark.parametrize(
    ("rows", "shares", "kept"),
    [
        ({"a": 80, "b": 50}, {}, {"a": 80, "b": 50}),
        ({"a": 80, "b": 50}, {"b": 0.2}, {"a": 80, "b": 20}),
        ({"a": 80, "b": 20}, {"b": 0.2}, {"a": 80, "b": 20}),
        ({"a": 60, "b": 50, "c": 50}, {"b": 0.2, "c": 0.2}, {"a": 60, "b": 20, "c": 20}),
        ({"b": 50}, {"b": 0.5}, {"b": 0}),
        ({"a": 4, "b": 50}, {"b": 0.2}, {"a": 4, "b": 1}),
        ({}, {"b": 0.2}, {}),
    ],
)
def test_no_source_is_more_than_its_share_of_what_trains(
    rows: dict[str, int], shares: dict[str, float], kept: dict[str, int]
) -> None:
    assert keep(rows, shares) == kept


@given(
    st.dictionaries(st.sampled_from("abcd"), st.integers(0, 500)),
    st.dictionaries(st.sampled_from("abc"), st.floats(0.01, 1.0)),
)
def test_the_shares_hold_whatever_the_numbers(rows: dict[str, int], shares: dict[str, float]) -> None:
    kept = keep(rows, shares)

    total = sum(kept.values())
    assert all(0 <= kept[source] <= rows[source] for source in rows)
    assert all(kept[source] <= share * total + 1e-6 for source, share in shares.items() if source in kept)
    assert all(kept[source] == rows[source] for source in rows if source not in shares)


def labelled(**counts: int) -> dict[str, str]:
    return {f"{label}-{n}": label for label, count in counts.items() for n in range(count)}


def test_each_label_is_drawn_in_its_proportion() -> None:
    rows = labelled(billing=200, delivery=100, returns=50)

    drawn = draw(rows, 0.1, seed=1)

    assert Counter(rows[key] for key in drawn) == {"billing": 20, "delivery": 10, "returns": 5}


def test_tiny_labels_share_a_pot_and_none_loses_all_its_rows() -> None:
    rows = labelled(common=100) | {f"tiny{n}-{i}": f"tiny{n}" for n in range(20) for i in range(2)}

    drawn = draw(rows, 0.1, seed=3)

    counts = Counter(rows[key] for key in drawn)
    assert counts["common"] == 10 and 2 <= len(drawn) - 10 <= 4
    assert all(counts[f"tiny{n}"] < 2 for n in range(20))


def test_the_draw_depends_on_seed_and_content_and_on_nothing_else() -> None:
    rows = labelled(a=40, b=40)
    backwards = dict(reversed(rows.items()))

    assert draw(rows, 0.25, seed=1) == draw(backwards, 0.25, seed=1) != draw(rows, 0.25, seed=2)


@given(
    st.dictionaries(st.text(min_size=1, max_size=8), st.sampled_from(["", "a", "b", "c"]), max_size=60),
    st.floats(0, 1),
    st.integers(0, 9),
)
def test_a_label_that_has_rows_keeps_one_to_learn_from(rows: dict[str, str], share: float, seed: int) -> None:
    drawn = draw(rows, share, seed)

    assert drawn <= rows.keys()
    assert {rows[key] for key in rows.keys() - drawn} == set(rows.values())
