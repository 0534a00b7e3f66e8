"""Paired comparison of a candidate with production on the same cases: exact tests, intervals, corrections."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import ceil, exp, inf, isfinite, lgamma, log, sqrt
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Z_95 = 1.6448536269514722  # one-sided 95 %
Z_POWER = 6.18  # (1.645 + 0.842)^2: one-sided 5 %, power 80 %
RESAMPLES = 10_000
FLIPS = 10_000
_CHUNK_CELLS = 4_000_000

Floats = NDArray[np.float64]
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Pairs:
    """n cases answered right or wrong by both: candidate won `plus`, lost `minus`."""

    n: int
    plus: int
    minus: int

    def __post_init__(self) -> None:
        if self.plus < 0 or self.minus < 0 or self.plus + self.minus > self.n:
            raise ValueError(f"{self.plus} won and {self.minus} lost do not fit into {self.n} cases")

    @property
    def drop(self) -> float:
        """Share of cases lost, net; 0 without cases."""
        return (self.minus - self.plus) / self.n if self.n else 0.0

    @property
    def discordance(self) -> float:
        """Share of cases on which the two differ; 0 without cases."""
        return (self.minus + self.plus) / self.n if self.n else 0.0

    def reversed(self) -> "Pairs":
        """The same cases seen from production."""
        return Pairs(self.n, self.minus, self.plus)


def count_pairs(candidate: Floats, production: Floats) -> Pairs:
    """Pairs from two arrays of 0/1 scores in the same order."""
    return Pairs(len(candidate), int((candidate > production).sum()), int((candidate < production).sum()))


@lru_cache(maxsize=16_384)
def binomial_tail_half(n: int, k: int) -> float:
    """P(Bin(n, 1/2) >= k), exact to double precision."""
    if k <= 0:
        return 1.0
    if 2 * k <= n:  # the larger half: sum the short tail instead
        return 1.0 - binomial_tail_half(n, n - k + 1)
    term = total = exp(lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1) - n * log(2))
    for j in range(k, n):  # each further term is a growing fraction smaller: stop where it no longer counts
        term *= (n - j) / (j + 1)
        total += term
        if term < total * 1e-17:
            break
    return min(1.0, total)


def mcnemar_p_worse(pairs: Pairs) -> float:
    """Exact one-sided p of "the candidate is worse": P(Bin(M+P, 1/2) >= M) (McNemar 1947). No case differs: 1."""
    return binomial_tail_half(pairs.plus + pairs.minus, pairs.minus)


def mcnemar_p_better(pairs: Pairs) -> float:
    """The same for "the candidate is better"."""
    return mcnemar_p_worse(pairs.reversed())


def tango_z(pairs: Pairs, drop: float) -> float:
    """Score statistic of H0 "the true drop is >= `drop`"; 1.645 excludes it at 95 % (Tango 1998, Stat Med 17:891)."""
    n, difference = pairs.n, -drop
    a = 2.0 * n
    b = -pairs.plus - pairs.minus + (2 * n - pairs.plus + pairs.minus) * difference
    c = -pairs.minus * difference * (1 - difference)
    q = (sqrt(max(0.0, b * b - 4 * a * c)) - b) / (2 * a)
    numerator = pairs.plus - pairs.minus - n * difference
    variance = n * (2 * q + difference * (1 - difference))
    if variance <= 1e-12:  # no discordant case, tested at 0 (or at the ends)
        return 0.0 if abs(numerator) < 1e-9 else inf * (1 if numerator > 0 else -1)
    return numerator / sqrt(variance)


def _bisect(is_above: Callable[[float], bool], low: float, high: float) -> float:
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if is_above(middle) else (middle, high)
    return (low + high) / 2


def tango_interval(pairs: Pairs, z: float = Z_95) -> tuple[float, float]:
    """Bounds of the true drop, each one-sided at the level of z: (lowest, highest) drop not excluded."""
    low = _bisect(lambda drop: tango_z(pairs, drop) >= -z, -1.0, 1.0)
    high = _bisect(lambda drop: tango_z(pairs, drop) >= z, -1.0, 1.0)
    return low, high


def _chunks(rows: int, columns: int) -> Iterator[int]:
    step = max(1, _CHUNK_CELLS // max(1, columns))
    for start in range(0, rows, step):
        yield min(step, rows - start)


def bootstrap_means(differences: Floats, resamples: int = RESAMPLES, seed: int = 0) -> Floats:
    """Means of `resamples` paired bootstrap samples of the case differences (Koehn 2004)."""
    rng, n = np.random.default_rng(seed), len(differences)
    parts = [differences[rng.integers(0, n, (rows, n))].mean(axis=1) for rows in _chunks(resamples, n)]
    return np.concatenate(parts)


def bootstrap_interval(differences: Floats, seed: int = 0, tail: float = 0.05) -> tuple[float, float]:
    """Percentile interval of the mean difference; each side leaves out `tail`, so either bound is one-sided 95 %."""
    low, high = np.quantile(bootstrap_means(differences, seed=seed), (tail, 1 - tail))
    return float(low), float(high)


def sign_flip_p(differences: Floats, flips: int = FLIPS, seed: int = 0) -> float:
    """Permutation p of "the mean difference is below 0": each case's sign is flipped at random. No difference: 1."""
    moving = differences[differences != 0]
    if not len(moving):
        return 1.0
    rng, observed, hits = np.random.default_rng(seed), moving.sum(), 0
    for rows in _chunks(flips, len(moving)):
        signs = rng.integers(0, 2, (rows, len(moving)), dtype=np.int8) * 2.0 - 1.0
        hits += int((signs @ moving <= observed + 1e-12).sum())
    return (1 + hits) / (1 + flips)


def score_p_worse(differences: Floats, seed: int = 0) -> float:
    """max(bootstrap p, flip p): the bootstrap alone is too eager when few cases differ (0.07 at alpha 0.05)."""
    if not np.any(differences):
        return 1.0
    means = bootstrap_means(differences, seed=seed)
    bootstrap_p = (1 + int((means >= 0).sum())) / (1 + len(means))
    return max(bootstrap_p, sign_flip_p(differences, seed=seed))


def randomisation_p(
    candidate: Sequence[Answer],
    production: Sequence[Answer],
    metric: Callable[[Sequence[Answer]], float],
    flips: int = 2_000,
    seed: int = 0,
) -> float:
    """p of "the candidate's corpus metric is worse" by swapping the two answers per case (Noreen 1989)."""
    rng, hits = np.random.default_rng(seed), 0
    observed = metric(candidate) - metric(production)
    for _ in range(flips):
        swap = rng.integers(0, 2, len(candidate)).astype(bool)
        one = [p if s else c for c, p, s in zip(candidate, production, swap, strict=True)]
        two = [c if s else p for c, p, s in zip(candidate, production, swap, strict=True)]
        hits += metric(one) - metric(two) <= observed + 1e-12
    return (1 + hits) / (1 + flips)


def holm_adjusted(p_values: Mapping[str, float]) -> dict[str, float]:
    """Holm's step-down adjusted p per name (Holm 1979); compare with alpha."""
    adjusted, running = {}, 0.0
    for rank, name in enumerate(sorted(p_values, key=p_values.__getitem__)):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[name]))
        adjusted[name] = running
    return adjusted


def more_cases(variance: float, n: int, drop: float, tolerance: float = 0.0) -> int | None:
    """About how many further cases would settle it: 6.18 * variance / (tolerance - max(0, drop))^2 - n.

    `variance` of one case's difference; for right/wrong cases the share of discordant ones. None: no number would.
    Where no drop is tolerated, what was gained counts too: a gain of -tolerance is to be told from what was found.
    """
    gap = tolerance - (max(0.0, drop) if tolerance > 0 else drop)
    if variance <= 0 or abs(gap) < 1e-9:
        return None
    more = Z_POWER * variance / gap**2 - n
    return max(1, ceil(more)) if isfinite(more) else None
