"""The metric `judge`: which arm a judge model preferred. No check finds it; the job `judge` writes it down."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipelines.metrics import Row


class Judged:
    """Stands in the list of metrics, so that its direction is known; a case cannot have it as its check."""

    higher_is_better = True
    is_corpus = False

    def score(self, expected: Mapping[str, Any], answer: str) -> float:
        raise ValueError("a judge model compares two answers; it checks none")

    def corpus(self, rows: Sequence[Row]) -> float:
        return math.nan


judged = Judged()
