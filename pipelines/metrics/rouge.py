"""ROUGE-1, ROUGE-2 and ROUGE-L F-measures of an answer against a reference text (Lin 2004)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from pipelines.metrics.case_mean import CaseMean
from pipelines.metrics.text import reference

_WORD = re.compile(r"[^\W_]+")


class UnicodeWords:
    """Splits into words of any script: rouge-score's own drops each letter outside a-z ("acción" -> "acci", "n")."""

    def tokenize(self, text: str) -> list[str]:
        return _WORD.findall(text.lower())


@cache
def _scorer(kind: str) -> Any:
    # Imported on use: rouge-score pulls in nltk, which costs a second and is no part of a web process.
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer([kind], tokenizer=UnicodeWords())


def _rouge(kind: str, expected: Mapping[str, Any], answer: str) -> float:
    return float(_scorer(kind).score(reference(expected), answer)[kind].fmeasure)


rouge1 = CaseMean(lambda expected, answer: _rouge("rouge1", expected, answer))
rouge2 = CaseMean(lambda expected, answer: _rouge("rouge2", expected, answer))
rouge_l = CaseMean(lambda expected, answer: _rouge("rougeL", expected, answer))
