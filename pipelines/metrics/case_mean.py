"""Metrics that score each case alone; the set's figure is the mean."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipelines.metrics import Row


@dataclass(frozen=True)
class CaseMean:
    """A metric made of one scoring function `(expected, answer) -> [0, 1]`."""

    score_one: Callable[[Mapping[str, Any], str], float]
    higher_is_better: bool = True
    is_corpus: bool = False

    def score(self, expected: Mapping[str, Any], answer: str) -> float:
        return self.score_one(expected, answer)

    def corpus(self, rows: Sequence[Row]) -> float:
        if not rows:
            return math.nan
        return math.fsum(self.score_one(row.expected, row.answer) for row in rows) / len(rows)
