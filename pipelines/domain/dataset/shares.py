"""Largest shares: how many rows of each source may train when some sources may only be a part of the whole."""

from collections.abc import Mapping
from math import floor

EPSILON = 1e-9  # 0.2 of 5 rows is one row, whatever binary fractions say.


def keep(rows: Mapping[str, int], shares: Mapping[str, float]) -> dict[str, int]:
    """{source: rows that train}: the most rows such that no source with a share is more than it of all that train.

    Sources without a share keep all of theirs. Starts from everything and takes away until nothing is over: the result
    is the largest that holds, and the same for the same numbers.
    """
    kept = dict(rows)
    while True:
        total = sum(kept.values())
        fewer = {
            source: min(count, floor(shares[source] * total + EPSILON)) if source in shares else count
            for source, count in kept.items()
        }
        if fewer == kept:
            return kept
        kept = fewer
