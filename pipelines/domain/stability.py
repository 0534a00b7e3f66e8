"""Which cases stay right from one retrain to the next, and what a must-pass set of them costs an equally good model."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.domain.power import all_pass_block_rate, binomial_pmf

LEAST_RETRAINS = 3
SMALLEST, LARGEST = 50, 200


@dataclass(frozen=True)
class History:
    """What became of one case. `retrains`: per retrain (by name) whether its answer was right."""

    key: str
    group: str
    production: bool
    retrains: Mapping[str, bool]

    @property
    def is_admitted(self) -> bool:
        """Production and every retrain got it right, and those are at least three (statistics.md A, all_pass sets)."""
        return self.production and len(self.retrains) >= LEAST_RETRAINS and all(self.retrains.values())

    @property
    def right(self) -> int:
        return sum(self.retrains.values())


@dataclass(frozen=True)
class FlipRate:
    """Chance that one admitted case is answered wrongly by the next, equally good retrain."""

    flips: int
    seen: int

    @property
    def rate(self) -> float | None:
        """Half a flip more than was seen (Jeffreys): none of 300 does not mean never."""
        return (self.flips + 0.5) / (self.seen + 1) if self.seen else None

    @property
    def high(self) -> float | None:
        """Upper end of the exact one-sided 95 % interval (Clopper-Pearson)."""
        if not self.seen:
            return None
        low, high = self.flips / self.seen, 1.0
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if _at_most(self.flips, self.seen, middle) > 0.05 else (low, middle)
        return high

    def block_rate(self, cases: int) -> float | None:
        """How often a set of that many such cases keeps back an equally good retrain."""
        return None if self.rate is None else all_pass_block_rate(cases, self.rate)

    def block_rate_high(self, cases: int) -> float | None:
        return None if self.high is None else all_pass_block_rate(cases, self.high)


def _at_most(k: int, n: int, p: float) -> float:
    """P(Bin(n, p) <= k)."""
    return float(binomial_pmf(n, p, np.arange(k + 1)).sum())


def flip_rate(histories: Sequence[History]) -> FlipRate:
    """By leaving one retrain out: of the cases that the others and production admit, how many does it get wrong?

    Needs a fourth retrain: with three, nothing is left to test an admission by.
    """
    flips = seen = 0
    for name in {name for one in histories for name in one.retrains}:
        for one in histories:
            others = {other: right for other, right in one.retrains.items() if other != name}
            if name in one.retrains and History(one.key, one.group, one.production, others).is_admitted:
                seen += 1
                flips += not one.retrains[name]
    return FlipRate(flips, seen)


def balanced(histories: Sequence[History], size: int) -> tuple[str, ...]:
    """Keys of at most `size` admitted cases, as equally from every group as there are; the same ones every time."""
    groups: dict[str, list[str]] = defaultdict(list)
    for one in histories:
        if one.is_admitted:
            groups[one.group].append(one.key)
    for keys in groups.values():
        keys.sort(key=lambda key: hashlib.sha256(key.encode()).hexdigest())
    turns = sorted((turn, group) for group, keys in groups.items() for turn in range(len(keys)))
    return tuple(groups[group][turn] for turn, group in turns[:size])
