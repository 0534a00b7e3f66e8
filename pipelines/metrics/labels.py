"""Labels out of a closed set: accuracy per case, macro F1 over a set."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipelines.metrics.case_mean import CaseMean
from pipelines.metrics.text import normalise

if TYPE_CHECKING:
    from pipelines.metrics import Row


def _label(expected: Mapping[str, Any], answer: str) -> float:
    """`label` is the right one; where `labels` is given, the right one must be a member of it."""
    return float(normalise(answer) == normalise(str(expected["label"])))


label = CaseMean(_label)


@dataclass(frozen=True)
class MacroF1:
    """Unweighted mean of the per-class F1 over all classes expected or answered.

    An answer outside the closed set (`labels`) is a miss of the right class and no class of its own: one stray word
    must not add a class with F1 0. Without `labels` the classes are the expected ones.
    """

    higher_is_better: bool = True

    def score(self, expected: Mapping[str, Any], answer: str) -> float:
        return _label(expected, answer)

    def corpus(self, rows: Sequence[Row]) -> float:
        if not rows:
            return math.nan
        pairs = [(normalise(str(row.expected["label"])), normalise(row.answer)) for row in rows]
        classes = _classes(rows, pairs)
        return math.fsum(_f1(pairs, name) for name in classes) / len(classes)


def _classes(rows: Sequence[Row], pairs: Sequence[tuple[str, str]]) -> list[str]:
    """Classes that occur on either side; a class of the closed set that nobody uses has no F1."""
    expected = {right for right, _ in pairs}
    closed = {normalise(str(name)) for row in rows for name in row.expected.get("labels", ())}
    return sorted(expected | (closed & {given for _, given in pairs}))


def _f1(pairs: Sequence[tuple[str, str]], name: str) -> float:
    hits = sum(right == name == given for right, given in pairs)
    expected = sum(right == name for right, _ in pairs)
    answered = sum(given == name for _, given in pairs)
    return 2 * hits / (expected + answered) if expected + answered else 0.0


f1_macro = MacroF1()
