"""Near duplicates: every pair the exact search finds, and no other."""

import numpy as np
import pytest

from pipelines.domain.data_checks import jaccard, shingles
from pipelines.domain.neardup import BANDS, SIGNATURE_VERSION, bands_of, candidates, near_duplicates

WORDS = [f"word{i}" for i in range(400)]


def texts(n: int, seed: int = 1) -> dict[str, str]:
    """Random texts of 120 words; every fifth has a copy with one word changed (Jaccard about .95)."""
    rng, found = np.random.default_rng(seed), dict[str, str]()
    for i in range(n):
        words = rng.choice(WORDS, 120).tolist()
        found[f"{i:03d}a"] = " ".join(words)
        if i % 5 == 0:
            words[int(rng.choice([0, 1, 60]))] = "changed"
            found[f"{i:03d}b"] = " ".join(words)
    return found


def test_shingles_are_three_words_in_lower_case() -> None:
    assert shingles("The card, the CARD is late") == {"the card the", "card the card", "the card is", "card is late"}
    assert shingles("Hi there") == {"hi there"}
    assert shingles("...") == frozenset()


def test_jaccard_of_nothing_is_0() -> None:
    assert jaccard(frozenset(), frozenset()) == 0.0
    assert jaccard({"a", "b"}, {"b", "c"}) == pytest.approx(1 / 3)


def test_every_near_duplicate_is_found_and_nothing_else() -> None:
    rows = texts(120)
    cut = {row: shingles(text) for row, text in rows.items()}
    ids = sorted(rows)
    truth = {(a, b) for i, a in enumerate(ids) for b in ids[i + 1 :] if jaccard(cut[a], cut[b]) >= 0.95}
    found = near_duplicates(rows)
    assert {(pair.one, pair.two) for pair in found} == truth
    assert 10 < len(truth) <= 24
    assert all(pair.similarity >= 0.95 for pair in found)


def test_unrelated_texts_are_hardly_ever_candidates() -> None:
    rows = {row: bands_of(text) for row, text in texts(100).items() if row.endswith("a")}
    assert len(list(candidates(rows))) <= 2


def test_bands_fit_a_bigint_and_are_the_same_everywhere() -> None:
    numbers = bands_of("the card that was sent last week has not arrived yet")
    assert len(numbers) == BANDS
    assert all(-(2**63) <= n < 2**63 for n in numbers)
    assert (SIGNATURE_VERSION, numbers[:2]) == ("affine32-crc32-12x10-1", (-5197810166545758135, -368132355524890090))


def test_a_text_without_words_has_no_bands() -> None:
    assert bands_of(" -- ") == ()
    assert near_duplicates({"a": "--", "b": "--"}) == []
