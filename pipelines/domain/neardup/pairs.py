"""Pairs of near duplicates: candidates that share a band, each verified by exact Jaccard."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from pipelines.domain.data_checks.shingles import NEAR_DUPLICATE, jaccard, shingles
from pipelines.domain.neardup.signatures import Signatures, sign

# Of more rows than this that share a band, each is compared with the first ones only: n of them were n^2/2 pairs.
FLOOD = 200
KEPT_SETS = 256


@dataclass(frozen=True)
class NearPair:
    """Two rows that are near duplicates; `one` is the earlier of the two."""

    one: str
    two: str
    similarity: float


def sharing(signed: Signatures) -> NDArray[np.int64]:
    """Every pair (earlier, later) of row numbers that share a band, once, in order.

    Drop exact duplicates first. A bucket of more than FLOOD rows links each row to its first FLOOD.
    """
    rows = np.flatnonzero(signed.has_words)
    found = [_in_band(signed.bands[rows, band]) for band in range(signed.bands.shape[1])]
    packed = np.unique(np.concatenate([early * len(rows) + late for early, late in found])) if len(rows) else rows
    return np.stack((rows[packed // max(1, len(rows))], rows[packed % max(1, len(rows))]), axis=1)


def _in_band(numbers: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    order = np.argsort(numbers, kind="stable")
    ordered = numbers[order]
    opens = np.concatenate(([True], ordered[1:] != ordered[:-1]))
    first = np.maximum.accumulate(np.where(opens, np.arange(len(ordered)), 0))
    late = np.flatnonzero(~opens)
    early, later = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for step in range(FLOOD):
        late = late[first[late] + step < late]
        if not len(late):
            break
        early.append(order[first[late] + step])
        later.append(order[late])
    return np.concatenate(early), np.concatenate(later)


def verified(
    pairs: Iterable[tuple[str, str]], texts: Mapping[str, str], threshold: float = NEAR_DUPLICATE
) -> list[NearPair]:
    """The candidate pairs whose exact Jaccard reaches the threshold. Give them in order of the first."""
    cut = lru_cache(maxsize=KEPT_SETS)(lambda row: shingles(texts[row]))
    scored = (NearPair(one, two, jaccard(cut(one), cut(two))) for one, two in pairs)
    return [pair for pair in scored if pair.similarity >= threshold]


def near_duplicates(texts: Mapping[str, str], threshold: float = NEAR_DUPLICATE) -> list[NearPair]:
    """All near-duplicate pairs among `texts` (id -> text without the system prompt), in the mapping's order."""
    ids: Sequence[str] = list(texts)
    pairs = sharing(sign(list(texts.values())))
    return verified(((ids[one], ids[two]) for one, two in pairs.tolist()), texts, threshold)
