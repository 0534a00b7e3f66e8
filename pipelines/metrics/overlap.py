"""BLEU and chrF of an answer against a reference text, by sacrebleu (Post 2018), on a scale from 0 to 1."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from pipelines.metrics.text import reference

if TYPE_CHECKING:
    from pipelines.metrics import Row


@cache
def _scorer(kind: str, of_one: bool) -> Any:
    # Imported on use: half a second that a web process does not need.
    from sacrebleu.metrics import BLEU, CHRF

    # A single sentence often has no 4-gram at all: its effective order is counted, as sacrebleu advises.
    return BLEU(effective_order=of_one) if kind == "bleu" else CHRF()


@dataclass(frozen=True)
class Overlap:
    """The set's figure is the corpus score, not the mean of the cases' scores."""

    kind: str
    higher_is_better: bool = True
    is_corpus: bool = True

    def score(self, expected: Mapping[str, Any], answer: str) -> float:
        found = _scorer(self.kind, True).sentence_score(answer, [reference(expected)])
        return float(min(found.score / 100, 1.0))

    def corpus(self, rows: Sequence[Row]) -> float:
        if not rows:
            return math.nan
        given, wanted = [row.answer for row in rows], [reference(row.expected) for row in rows]
        return float(min(_scorer(self.kind, False).corpus_score(given, [wanted]).score / 100, 1.0))


bleu = Overlap("bleu")
chrf = Overlap("chrf")
