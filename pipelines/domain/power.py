"""What a set of cases can tell: exact power, smallest detectable drop, how often a rule keeps back an equal model."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import cache, lru_cache
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from pipelines.domain.paired import Pairs, binomial_tail_half
from pipelines.domain.verdicts import Verdict

_SPREAD = 8.0  # standard deviations kept around a mean: the rest weighs < 1e-14


def _log_factorials(n: int) -> NDArray[np.float64]:
    """ln 0! .. ln n! (and further: tables grow by powers of two so that few are kept)."""
    return _log_factorial_table(max(10, n.bit_length()))


@lru_cache(maxsize=24)
def _log_factorial_table(bits: int) -> NDArray[np.float64]:
    table: NDArray[np.float64] = np.zeros(2**bits)
    np.cumsum(np.log(np.arange(1, 2**bits)), out=table[1:])
    return table


def binomial_pmf(n: int, p: float, k: NDArray[np.int64]) -> NDArray[np.float64]:
    """P(Bin(n, p) = k) for an array of k within 0..n."""
    if p <= 0.0 or p >= 1.0:
        return np.where(k == (0 if p <= 0.0 else n), 1.0, 0.0)
    facts = _log_factorials(n)
    logs = facts[n] - facts[k] - facts[n - k] + k * np.log(p) + (n - k) * np.log1p(-p)
    mass: NDArray[np.float64] = np.exp(logs)
    return mass


def _likely(n: int, p: float) -> NDArray[np.int64]:
    reach = _SPREAD * sqrt(n * p * (1 - p)) + _SPREAD
    return np.arange(max(0, int(n * p - reach)), min(n, int(n * p + reach)) + 1)


@lru_cache(maxsize=65_536)
def _critical(discordant: int, alpha: float) -> int:
    """Smallest M with P(Bin(discordant, 1/2) >= M) <= alpha; discordant + 1 when there is none."""
    low, high = 0, discordant + 1
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if binomial_tail_half(discordant, middle) <= alpha else (middle + 1, high)
    return low


def power(n: int, discordance: float, drop: float, alpha: float = 0.05) -> float:
    """P(exact one-sided McNemar finds a true `drop`), M and P trinomial: P(minus)=d/2+drop, P(plus)=d/2."""
    share = discordance + drop
    lost = (discordance / 2 + drop) / share if share > 0 else 0.0
    total = 0.0
    counts = _likely(n, min(1.0, share))
    for discordant, weight in zip(counts.tolist(), binomial_pmf(n, min(1.0, share), counts), strict=True):
        losses = np.arange(_critical(discordant, alpha), discordant + 1)
        total += float(weight) * float(binomial_pmf(discordant, lost, losses).sum())
    return total


@lru_cache(maxsize=4_096)
def smallest_detectable_drop(n: int, discordance: float, alpha: float = 0.05, target: float = 0.80) -> float | None:
    """The exact MDE: the drop found with probability `target`; None when no drop is (too few cases)."""
    if n == 0:
        return None
    # Begun near the textbook value and doubled: power at large drops of large sets costs seconds to sum.
    most = 1.0 - discordance
    low, high = 0.0, min(most, 3 * sqrt((discordance + 4 / n) / n))
    while power(n, discordance, high, alpha) < target:
        if high >= most:
            return None
        low, high = high, min(most, 2 * high)
    while high - low > 1e-5:
        middle = (low + high) / 2
        low, high = (low, middle) if power(n, discordance, middle, alpha) >= target else (middle, high)
    return high


def verdict_rates(n: int, discordance: float, drop: float, decide: Callable[[Pairs], Verdict]) -> dict[Verdict, float]:
    """How often a rule gives each verdict when the true drop is `drop`: exact, by enumeration.

    Among outcomes with equally many discordant cases a rule only ever changes its mind in one direction; so it is asked
    at the ends of a stretch, and inside it only where those differ.
    """
    share = discordance + drop
    lost = (discordance / 2 + drop) / share if share > 0 else 0.0
    rates: dict[Verdict, float] = defaultdict(float)
    counts = _likely(n, share)
    for discordant, weight in zip(counts.tolist(), binomial_pmf(n, share, counts).tolist(), strict=True):
        minus = _likely(discordant, lost)
        mass = weight * binomial_pmf(discordant, lost, minus)
        for verdict, first, after in _stretches(_asked(n, discordant, decide), int(minus[0]), int(minus[-1])):
            rates[verdict] += float(mass[first - int(minus[0]) : after - int(minus[0])].sum())
    return {verdict: rates[verdict] for verdict in Verdict}


def _asked(n: int, discordant: int, decide: Callable[[Pairs], Verdict]) -> Callable[[int], Verdict]:
    return cache(lambda minus: decide(Pairs(n, discordant - minus, minus)))


def _stretches(verdict: Callable[[int], Verdict], first: int, last: int) -> Iterator[tuple[Verdict, int, int]]:
    """(verdict, from, before) of each stretch of first..last."""
    if verdict(first) == verdict(last):
        yield verdict(first), first, last + 1
    else:
        middle = (first + last) // 2
        yield from _stretches(verdict, first, middle)
        yield from _stretches(verdict, middle + 1, last)


def all_pass_block_rate(cases: int, flip: float) -> float:
    """P(an equally good model fails one of `cases`), each flipping with probability `flip`."""
    return float(1.0 - (1.0 - flip) ** cases)
