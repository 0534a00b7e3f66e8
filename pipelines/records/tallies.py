"""Corpus metrics as sums over cases, so that a set can be resampled ten thousand times without scoring it anew."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipelines.domain.gates.corpus import CorpusTable
from pipelines.metrics import Row, load
from pipelines.metrics.labels import F1, classes_of, label_pairs
from pipelines.metrics.overlap import Overlap
from pipelines.metrics.overlap import _scorer as corpus_scorer
from pipelines.metrics.text import reference

Floats = NDArray[np.float64]
Figure = Callable[[Floats], Floats]
Average = Literal["macro", "micro", "weighted"]


def corpus_table(metric: str, arms: Sequence[Sequence[Row]]) -> CorpusTable | None:
    """The counts of the candidate's (and production's) cases; None where no sums give it (an installation's own)."""
    found = load(metric)
    match found:
        case F1():
            counts, figure = _f1(found, arms)
        case Overlap():
            counts, figure = _overlap(found, arms)
        case _:
            return None
    return CorpusTable(counts[0], counts[1] if len(counts) > 1 else None, figure)


def _f1(metric: F1, arms: Sequence[Sequence[Row]]) -> tuple[list[Floats], Figure]:
    spelled = classes_of(chain.from_iterable(arms))
    pairs = [list(label_pairs(rows, spelled)) for rows in arms]
    classes = sorted({name for found in pairs for pair in found for name in pair if name})
    return [f1_counts(found, classes) for found in pairs], f1_figure(metric.average)


def f1_counts(pairs: Sequence[tuple[str, str]], classes: Sequence[str]) -> Floats:
    """Per case hits, expected and answered of each class: [cases, 3 * classes]. pairs: (expected, answered)."""
    place = {name: column for column, name in enumerate(classes)}
    counts = np.zeros((len(pairs), 3, len(classes)))
    for row, (expected, answered) in enumerate(pairs):
        counts[row, 1, place[expected]] = 1.0
        if answered in place:
            counts[row, 2, place[answered]] = 1.0
            counts[row, 0, place[answered]] = float(answered == expected)
    return counts.reshape(len(pairs), 3 * len(classes))


def f1_figure(average: Average = "macro") -> Figure:
    """Sums of `f1_counts` -> F1: of all classes alike, of all cases alike, or of classes by how often they occur."""

    def figure(sums: Floats) -> Floats:
        hits, expected, answered = np.moveaxis(sums.reshape(*sums.shape[:-1], 3, -1), -2, 0)
        if average == "micro":
            return _ratio(2 * hits.sum(-1), expected.sum(-1) + answered.sum(-1))
        each = _ratio(2 * hits, expected + answered)
        weights = expected if average == "weighted" else (expected + answered > 0).astype(np.float64)
        return _ratio((each * weights).sum(-1), weights.sum(-1))

    return figure


def _ratio(above: Floats, below: Floats) -> Floats:
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0)


def _overlap(metric: Overlap, arms: Sequence[Sequence[Row]]) -> tuple[list[Floats], Figure]:
    """sacrebleu's own counts of n-grams per case, and its own figure out of their sums."""
    scorer = corpus_scorer(metric.kind, False)
    counts = [_ngrams(scorer, rows) for rows in arms]

    def figure(sums: Floats) -> Floats:
        return np.apply_along_axis(lambda row: _of_sums(scorer, row), -1, sums)

    return counts, figure


def _ngrams(scorer: Any, rows: Sequence[Row]) -> Floats:
    if not rows:
        return np.zeros((0, 0))
    given, wanted = [row.answer for row in rows], [reference(row.expected) for row in rows]
    return np.array(scorer._extract_corpus_statistics(given, [wanted]), dtype=np.float64)


def _of_sums(scorer: Any, sums: Floats) -> float:
    return min(float(scorer._compute_score_from_stats([int(value) for value in sums]).score) / 100, 1.0)
