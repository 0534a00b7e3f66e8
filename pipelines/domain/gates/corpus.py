"""Metrics of a whole set (macro-F1, BLEU): the p by swapping answers, the interval by resampling cases, both paired."""

from collections.abc import Callable
from dataclasses import dataclass
from math import nan

import numpy as np
from numpy.typing import NDArray

from pipelines.domain.gates.evidence import CorpusScore, Direction

FLIPS = 10_000
RESAMPLES = 10_000
_SEED = 7_919
_CHUNK_CELLS = 2_000_000
_TAIL = 0.05

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class CorpusTable:
    """What a corpus metric is made of: a row of counts per case; `figure` turns sums of rows into the metric.

    candidate, production: [cases, counts], the same case in the same row. figure: [..., counts] -> [...].
    """

    candidate: Floats
    production: Floats | None
    figure: Callable[[Floats], Floats]


def corpus_score(table: CorpusTable, direction: Direction = Direction.HIGHER) -> CorpusScore:
    """Both figures, the one-sided p values (Noreen 1989) and the interval of the drop (Koehn 2004); 0 cases: NaN."""
    n = len(table.candidate)
    if not n:
        return CorpusScore(nan, None if table.production is None else nan, 0, direction=direction)
    candidate = float(table.figure(table.candidate.sum(axis=0)))
    if table.production is None:
        return CorpusScore(candidate, None, n, direction=direction)
    production = float(table.figure(table.production.sum(axis=0)))
    sign = 1.0 if direction is Direction.HIGHER else -1.0
    gains = sign * swapped_differences(table)
    observed = sign * (candidate - production)
    drops = -sign * resampled_differences(table)
    low, high = np.quantile(drops, (_TAIL, 1 - _TAIL))
    return CorpusScore(
        candidate,
        production,
        n,
        p_worse=_share(gains <= observed + 1e-12),
        p_better=_share(gains >= observed - 1e-12),
        direction=direction,
        drop_low=float(low),
        drop_high=float(high),
        variance=float(n * drops.var()),
    )


def _share(hits: NDArray[np.bool_]) -> float:
    return float(1 + hits.sum()) / (1 + len(hits))


def swapped_differences(table: CorpusTable, flips: int = FLIPS, seed: int = _SEED) -> Floats:
    """Candidate less production, the two answers of each case swapped at random: what chance alone would give."""
    ours, theirs = table.candidate, _production(table)
    rng, both, parts = np.random.default_rng(seed), (ours + theirs).sum(axis=0), []
    for rows in _chunks(flips, *ours.shape):
        swap = rng.integers(0, 2, (rows, len(ours))).astype(np.float64)
        one = ours.sum(axis=0) + swap @ (theirs - ours)
        parts.append(table.figure(one) - table.figure(both - one))
    return np.concatenate(parts)


def resampled_differences(table: CorpusTable, resamples: int = RESAMPLES, seed: int = _SEED + 1) -> Floats:
    """Candidate less production on cases drawn with replacement, the same cases for both."""
    ours, theirs = table.candidate, _production(table)
    rng, n, parts = np.random.default_rng(seed), len(ours), []
    for rows in _chunks(resamples, *ours.shape):
        drawn = rng.multinomial(n, np.full(n, 1 / n), size=rows).astype(np.float64)
        parts.append(table.figure(drawn @ ours) - table.figure(drawn @ theirs))
    return np.concatenate(parts)


def _production(table: CorpusTable) -> Floats:
    if table.production is None or table.production.shape != table.candidate.shape:
        raise ValueError("the two models did not answer the same cases")
    return table.production


def _chunks(rows: int, cases: int, counts: int) -> list[int]:
    step = max(1, _CHUNK_CELLS // max(cases, counts))
    return [min(step, rows - start) for start in range(0, rows, step)]
