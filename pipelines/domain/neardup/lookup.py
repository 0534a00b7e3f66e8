"""New texts among stored ones: which of them share a band, told from packed signatures without an index."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from pipelines.domain.neardup.pairs import FLOOD
from pipelines.domain.neardup.signatures import BANDS, Signatures

MARKS = 1 << 18  # of a band's numbers by their last bits: fits the processor's cache


class Lookup:
    """The bands of new texts in order, so that any number of stored blocks is looked through once each."""

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
            seen: dict[int, int] = {}
            for place, order in self._in_band(band, stored[band]):
                for new in self.rows[order].tolist():
                    seen[new] = seen.get(new, 0) + 1
                    if seen[new] <= FLOOD:
                        found.add((new, place))
        return found

    def _in_band(self, band: int, stored: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.intp]]]:
        """(number of a stored text, places of the new ones). Searching each number would take most of the time."""
        likely = np.flatnonzero(self.marks[band][stored & (MARKS - 1)])
        first = np.searchsorted(self.numbers[band], stored[likely], side="left")
        last = np.searchsorted(self.numbers[band], stored[likely], side="right")
        for hit in np.flatnonzero(last > first).tolist():
            yield int(likely[hit]), self.orders[band][first[hit] : last[hit]]
