"""Candidate against production on one task metric: the figures every task gate judges, whatever its rule."""

from dataclasses import dataclass, replace
from math import isfinite
from typing import Self

import numpy as np
from numpy.typing import NDArray

from pipelines.domain.gates.evidence import CorpusScore, Direction, PairedScores
from pipelines.domain.gates.spec import Number
from pipelines.domain.paired import (
    Z_95,
    Pairs,
    bootstrap_interval,
    count_pairs,
    mcnemar_p_better,
    mcnemar_p_worse,
    more_cases,
    score_p_worse,
    tango_interval,
    tango_z,
)
from pipelines.domain.power import smallest_detectable_drop

_SEED = 20_241


class NotMeasured(Exception):
    """The evidence does not allow a figure; the message says why."""


class NoProduction(Exception):
    """There is no production model to compare with."""


@dataclass(frozen=True)
class Comparison:
    """Two values of one metric with everything known about their difference; `drop` > 0 is worse in either direction.

    `drop_low`, `drop_high`: bounds, one-sided 95 % each; None where nothing could be resampled.
    `variance`: of one case's difference.
    """

    candidate: float
    production: float
    n: int
    direction: Direction
    p_worse: float | None = None
    p_better: float | None = None
    drop_low: float | None = None
    drop_high: float | None = None
    variance: float = 0.0
    pairs: Pairs | None = None
    lost_cases: tuple[str, ...] = ()

    @property
    def drop(self) -> float:
        """How much worse the candidate is on the cases, in the metric's unit; exact for right/wrong cases."""
        if self.pairs is not None:
            return self.pairs.drop
        sign = 1.0 if self.direction is Direction.HIGHER else -1.0
        return sign * (self.production - self.candidate)

    @property
    def is_not_below(self) -> bool:
        """Whether the candidate is at least as good on the cases; rounding noise of sums does not decide."""
        return self.drop <= 1e-12

    @property
    def has_bounds(self) -> bool:
        """Whether anything is known of how far the drop may be from what was found."""
        return self.pairs is not None or self.drop_low is not None

    @property
    def mde(self) -> float | None:
        """Exact smallest drop found with 80 % for right/wrong cases."""
        return smallest_detectable_drop(self.n, self.pairs.discordance) if self.pairs else None

    def excludes_drop_above(self, tolerance: float) -> bool:
        """Whether a drop of `tolerance` or more is excluded at 95 %."""
        if self.pairs is not None:
            return tango_z(self.pairs, tolerance) >= Z_95
        return self.drop_high is not None and self.drop_high <= tolerance + 1e-12

    def shows_drop_above(self, tolerance: float) -> bool:
        """Whether a drop of `tolerance` or less is excluded at 95 %."""
        if self.pairs is not None:
            return tango_z(self.pairs, tolerance) < -Z_95
        return self.drop_low is not None and self.drop_low > tolerance

    def more_cases(self, tolerance: float) -> int | None:
        """About how many further cases would settle it."""
        return more_cases(self.variance, self.n, self.drop, tolerance)

    def numbers(self) -> dict[str, Number]:
        """Everything a page shows beside the verdict."""
        pairs = self.pairs
        return {
            "candidate": self.candidate,
            "production": self.production,
            "n": self.n,
            "plus": pairs.plus if pairs else None,
            "minus": pairs.minus if pairs else None,
            "p_worse": self.p_worse,
            "p_better": self.p_better,
            "drop": self.drop,
            "drop_low": self.drop_low,
            "drop_high": self.drop_high,
            "mde": self.mde,
        }

    @classmethod
    def of_outcome(cls, pairs: Pairs, production: float) -> Self:
        """Right/wrong cases by their counts alone, without the interval: what rules need to decide, not to say."""
        return cls(
            candidate=production - pairs.drop,
            production=production,
            n=pairs.n,
            direction=Direction.HIGHER,
            p_worse=mcnemar_p_worse(pairs),
            p_better=mcnemar_p_better(pairs),
            variance=pairs.discordance,
            pairs=pairs,
        )

    @classmethod
    def of_pairs(cls, scores: PairedScores) -> Self:
        """Compare per-case scores; raises NotMeasured, NoProduction."""
        ids, candidate, production = _aligned(scores)
        figures = (float(candidate.mean()), float(production.mean()), len(ids), scores.direction)
        gain = candidate - production if scores.direction is Direction.HIGHER else production - candidate
        lost = tuple(ids[i] for i in np.argsort(gain, kind="stable") if gain[i] < 0)
        plain = cls(*figures, lost_cases=lost)
        if np.isin(candidate, (0, 1)).all() and np.isin(production, (0, 1)).all():
            return plain._right_or_wrong(gain)
        return plain._graded(gain)

    @classmethod
    def of_corpus(cls, score: CorpusScore) -> Self:
        """Compare two values of a corpus metric; raises NotMeasured, NoProduction."""
        if not isfinite(score.candidate):
            raise NotMeasured("the candidate's value is not a number")
        if score.production is None:
            raise NoProduction
        if not isfinite(score.production):
            raise NotMeasured("production's value is not a number")
        shared = ("n", "direction", "p_worse", "p_better", "drop_low", "drop_high", "variance")
        return cls(score.candidate, score.production, **{name: getattr(score, name) for name in shared})

    def _right_or_wrong(self, gain: NDArray[np.float64]) -> Self:
        pairs = count_pairs(gain, np.zeros_like(gain))
        low, high = tango_interval(pairs, Z_95)
        return replace(
            self,
            pairs=pairs,
            p_worse=mcnemar_p_worse(pairs),
            p_better=mcnemar_p_better(pairs),
            drop_low=low,
            drop_high=high,
            variance=pairs.discordance,
        )

    def _graded(self, gain: NDArray[np.float64]) -> Self:
        low, high = bootstrap_interval(gain, _SEED)
        return replace(
            self,
            p_worse=score_p_worse(gain, _SEED),
            p_better=score_p_worse(-gain, _SEED),
            drop_low=-high,
            drop_high=-low,
            variance=float(gain.var(ddof=1)) if len(gain) > 1 else 0.0,
        )


def _aligned(scores: PairedScores) -> tuple[list[str], NDArray[np.float64], NDArray[np.float64]]:
    values = checked_values(scores)
    if scores.production is None:
        raise NoProduction
    if scores.candidate.keys() != scores.production.keys():
        alone = len(scores.candidate.keys() ^ scores.production.keys())
        raise NotMeasured(f"not comparable: {alone} cases were answered by one side only")
    ids = sorted(scores.candidate)
    production = np.array([scores.production[case] for case in ids], dtype=np.float64)
    if not np.isfinite(production).all():
        raise NotMeasured(f"{int((~np.isfinite(production)).sum())} of production's scores are not numbers")
    return ids, values, production


def checked_values(scores: PairedScores) -> NDArray[np.float64]:
    """The candidate's scores in order of case id; raises NotMeasured when one is not a number."""
    values = np.array([scores.candidate[case] for case in sorted(scores.candidate)], dtype=np.float64)
    if not np.isfinite(values).all():
        raise NotMeasured(f"{int((~np.isfinite(values)).sum())} of the candidate's scores are not numbers")
    return values
