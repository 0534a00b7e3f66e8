"""Near-duplicate candidates by banded MinHash; every one is verified by exact Jaccard."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from zlib import crc32

import numpy as np
from datasketch import MinHash
from numpy.typing import NDArray

from pipelines.domain.data_checks.shingles import NEAR_DUPLICATE, jaccard, shingles

# Bands stored under another version must be computed anew: datasketch 2.0 hashes differ from 1.x.
SIGNATURE_VERSION = "affine32-crc32-12x10-1"
BANDS, ROWS = 12, 10  # finds a pair at exactly .95 with 1 - (1 - .95^10)^12 = .99998
_WORDS = np.uint32


@cache
def _permutations() -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    factors, offsets = MinHash(num_perm=BANDS * ROWS, seed=1, scheme="affine32").permutations
    return factors.astype(_WORDS), offsets.astype(_WORDS)


def _mixed(values: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """MurmurHash3's finaliser: an affine permutation of unmixed hashes keeps their order too well."""
    values = (values ^ (values >> _WORDS(16))) * _WORDS(0x85EBCA6B)
    values = (values ^ (values >> _WORDS(13))) * _WORDS(0xC2B2AE35)
    return values ^ (values >> _WORDS(16))


def bands_of(text: str) -> tuple[int, ...]:
    """One signed 64-bit number per band, fit for a BIGINT column; empty for a text without words.

    Two texts are candidates when they share (band, number); store SIGNATURE_VERSION beside them.
    """
    found = sorted(shingles(text))
    if not found:
        return ()
    factors, offsets = _permutations()
    hashes = _mixed(np.fromiter((crc32(s.encode("utf-8", "surrogatepass")) for s in found), _WORDS, len(found)))
    minima = (hashes[:, None] * factors + offsets).min(axis=0)
    return tuple(_band_number(minima[band * ROWS : (band + 1) * ROWS]) for band in range(BANDS))


def _band_number(rows: NDArray[np.uint32]) -> int:
    state = np.uint64(0xCBF29CE484222325)
    with np.errstate(over="ignore"):
        for value in rows.astype(np.uint64):
            state = (state ^ value) * np.uint64(0x100000001B3)
            state ^= state >> np.uint64(29)
    return int(state.astype(np.int64))


@dataclass(frozen=True)
class NearPair:
    """Two rows that are near duplicates; `one` is the earlier of the two in order of id."""

    one: str
    two: str
    similarity: float


def candidates(bands: Mapping[str, tuple[int, ...]]) -> Iterator[tuple[str, str]]:
    """Every pair of ids that shares a band, once, in order. Drop exact duplicates first: n of them are n^2/2 pairs."""
    buckets: dict[tuple[int, int], list[str]] = defaultdict(list)
    for row, numbers in bands.items():
        for band, number in enumerate(numbers):
            buckets[band, number].append(row)
    seen: set[tuple[str, str]] = set()
    for rows in buckets.values():
        ordered = sorted(rows)
        seen.update((one, two) for i, one in enumerate(ordered) for two in ordered[i + 1 :])
    yield from sorted(seen)


def verified(
    pairs: Iterable[tuple[str, str]], texts: Mapping[str, str], threshold: float = NEAR_DUPLICATE
) -> list[NearPair]:
    """The candidate pairs whose exact Jaccard reaches the threshold."""
    cut = cache(lambda row: shingles(texts[row]))
    scored = (NearPair(one, two, jaccard(cut(one), cut(two))) for one, two in pairs)
    return [pair for pair in scored if pair.similarity >= threshold]


def near_duplicates(texts: Mapping[str, str], threshold: float = NEAR_DUPLICATE) -> list[NearPair]:
    """All near-duplicate pairs among `texts` (id -> text without the system prompt)."""
    return verified(candidates({row: bands_of(text) for row, text in texts.items()}), texts, threshold)
