"""Near duplicates: every pair the exact search finds, and no other."""

import unicodedata
from typing import Any

import numpy as np
import pytest
from datasketch import MinHash
from hypothesis import given
from hypothesis import strategies as st

from pipelines.domain.data_checks import jaccard, shingles
from pipelines.domain.neardup import BANDS, SIGNATURE_VERSION, Lookup, bands_of, near_duplicates, sharing, sign
from pipelines.domain.neardup.signatures import ROWS, _minima

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


def test_an_accent_that_is_a_character_of_its_own_makes_no_other_text() -> None:
    text = "¿Dónde está la devolución de la señora Núñez?"
    assert shingles(unicodedata.normalize("NFD", text)) == shingles(text)
    assert bands_of(unicodedata.normalize("NFD", text)) == bands_of(text)


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
    rows = [text for row, text in texts(100).items() if row.endswith("a")]
    assert len(sharing(sign(rows))) <= 2


def test_bands_fit_a_bigint_and_are_the_same_everywhere() -> None:
    numbers = bands_of("the card that was sent last week has not arrived yet")
    assert len(numbers) == BANDS
    assert all(-(2**63) <= n < 2**63 for n in numbers)
    assert (SIGNATURE_VERSION, numbers[:2]) == (4, (4549035887726411140, -4141589446738968733))


def test_minima_are_those_that_datasketch_finds() -> None:
    hashes = np.array([7, 2**31 + 5, 123_456_789, 2**32 - 1], np.uint32)
    theirs = MinHash(num_perm=BANDS * ROWS, seed=1, scheme="affine32", hashfunc=int)
    theirs.update_batch(hashes.tolist())
    assert (_minima(finalised(hashes), np.array([0]))[:, 0] == theirs.hashvalues).all()


def finalised(h: Any) -> Any:
    """MurmurHash3's 32-bit finaliser: what datasketch does to each hash before it permutes; ours are mixed already."""
    h = (h ^ (h >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    h = (h ^ (h >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return h ^ (h >> np.uint32(16))


@given(st.lists(st.text(alphabet="aZß_ é\u0301\u03079\n.İ漢٣\ud800", max_size=30), max_size=8))
def test_texts_of_equal_shingles_and_only_those_have_equal_bands(found: list[str]) -> None:
    signed = sign(found)
    for n, text in enumerate(found):
        assert bool(shingles(text)) == bool(signed.has_words[n])
        assert signed.of(n) == bands_of(text)
        for m, other in enumerate(found):
            if shingles(text) and shingles(other):
                assert (signed.of(n) == signed.of(m)) == (shingles(text) == shingles(other))


def test_in_a_flood_of_likes_every_row_is_compared_with_the_first() -> None:
    pairs = sharing(sign(["the very same words again"] * 1_000)).tolist()
    assert {two for one, two in pairs if one == 0} == set(range(1, 1_000))
    assert len(pairs) < 200 * 1_000


def test_a_text_longer_than_a_chunk_has_the_bands_of_its_words() -> None:
    long = " ".join(WORDS) * 200
    assert sign(["short text here", long, "end of it"]).of(1) == bands_of(long)


def test_a_text_without_words_has_no_bands() -> None:
    assert bands_of(" -- ") == ()
    assert near_duplicates({"a": "--", "b": "--"}) == []


def test_a_lookup_finds_what_shares_a_band_and_nothing_else() -> None:
    rows = list(texts(60).values())
    new, stored = sign(["", *rows[:20]]), sign(rows[10:])
    slow = {(n, m) for n in range(1, 21) for m in range(len(stored.bands)) if (new.bands[n] == stored.bands[m]).any()}

    found = Lookup(new).among(stored.bands.T)

    assert found == slow
    assert {(n, n - 11) for n in range(11, 21)} <= found


def test_a_flood_of_stored_likes_is_cut_to_the_first_for_each_new_text() -> None:
    words = "the very same words again"
    stored = sign([*texts(5).values(), *[words] * 1_000])

    found = Lookup(sign([words, "no word of these is known", words])).among(stored.bands.T)

    first = len(stored.bands) - 1_000
    assert found == {(n, m) for n in (0, 2) for m in range(first, first + 200)}


def test_no_new_texts_find_nothing() -> None:
    assert Lookup(sign([])).among(sign(list(texts(5).values())).bands.T) == set()
    assert Lookup(sign(["..."])).among(sign(["..."]).bands.T) == set()
