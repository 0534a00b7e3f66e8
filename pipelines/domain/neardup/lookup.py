"""New texts among stored ones: which of them share a band, told from packed signatures without an index."""

import numpy as np
from numpy.typing import NDArray

from pipelines.domain.neardup.pairs import FLOOD
from pipelines.domain.neardup.signatures import BANDS, Signatures

MARKS = 1 << 18  # of a band's numbers by their last bits: fits the processor's cache
Places = NDArray[np.intp]


class Lookup:
    """The bands of new texts in order, so that any number of stored ones is looked through once each."""

    def __init__(self, signed: Signatures) -> None:
        self.rows = np.flatnonzero(signed.has_words)
        numbers = signed.bands[self.rows]
        self.orders = [np.argsort(numbers[:, band], kind="stable") for band in range(BANDS)]
        self.numbers = [numbers[order, band] for band, order in enumerate(self.orders)]
        self.marks = np.zeros((BANDS, MARKS), np.bool_)
        for band in range(BANDS):
            self.marks[band, numbers[:, band] & (MARKS - 1)] = True

    def among(self, stored: NDArray[np.int64]) -> set[tuple[int, int]]:
        """(number of a new text, number of a stored one) that share a band. `stored`: BANDS x rows.

        Of more than FLOOD stored rows in one band of one new text the first are taken.
        """
        found: set[tuple[int, int]] = set()
        for band in range(BANDS):
            new, places = self._in_band(band, stored[band])
            found.update(zip(self.rows[new].tolist(), places.tolist(), strict=True))
        return found

    def _in_band(self, band: int, stored: NDArray[np.int64]) -> tuple[Places, Places]:
        """(places of the new texts, of the stored ones). Searching each number would take most of the time."""
        likely = np.flatnonzero(self.marks[band][stored & (MARKS - 1)])
        first = np.searchsorted(self.numbers[band], stored[likely], side="left")
        shared = np.searchsorted(self.numbers[band], stored[likely], side="right") - first
        hit = np.flatnonzero(shared)
        hit = hit[_rank(first[hit]) < FLOOD]
        of_hit = np.repeat(np.arange(len(hit)), shared[hit])
        return self.orders[band][first[hit][of_hit] + _rank(of_hit)], likely[hit][of_hit]


def _rank(keys: Places) -> Places:
    """How many equal keys stand before each."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    starts = np.searchsorted(ordered, ordered, side="left")
    ranks = np.empty_like(order)
    ranks[order] = np.arange(len(order)) - starts
    return ranks
