"""Evidence that stays valid however often one looks: the stratified conditional e-process and the bounded bet."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import exp, inf, lgamma, log, log1p
from typing import Any, Self

GRID_MODERATE = (1.4, 1.7, 2.1, 2.7, 3.5, 5.0, 8.0)  # slow, bad output
GRID_RARE = (2.0, 4.0, 8.0, 16.0, 32.0, 64.0)  # errors
SAFE_LAMBDAS = (0.2, 0.4, 0.6, 0.8, 0.95)
HARM_LAMBDAS = (0.3, 0.5, 0.7, 0.85, 0.95)
_EARLY_GROWTH = 0.03  # typical log growth of a healthy SAFE bet, used before 20 outcomes
_EARLY = 20

Json = dict[str, Any]


def log_sum_exp(values: Iterable[float]) -> float:
    """ln of the sum of exponentials; -inf for nothing."""
    terms = list(values)
    top = max(terms, default=-inf)
    return top + log(sum(exp(term - top) for term in terms)) if top > -inf else -inf


def log_mean_exp(values: Sequence[float]) -> float:
    """ln of the mean of exponentials."""
    return log_sum_exp(values) - log(len(values))


@dataclass(frozen=True)
class Slot:
    """Counts of one stratum: candidate n_c requests, x_c bad; baseline n_b requests, x_b bad."""

    n_c: int = 0
    x_c: int = 0
    n_b: int = 0
    x_b: int = 0

    def __post_init__(self) -> None:
        if not (0 <= self.x_c <= self.n_c and 0 <= self.x_b <= self.n_b):
            raise ValueError(f"more bad requests than requests: {self}")

    def __add__(self, other: "Slot") -> "Slot":
        return Slot(self.n_c + other.n_c, self.x_c + other.x_c, self.n_b + other.n_b, self.x_b + other.x_b)

    @property
    def has_both_arms(self) -> bool:
        """Whether the stratum can say anything; one that cannot is merged into the next."""
        return self.n_c > 0 and self.n_b > 0

    @property
    def rates(self) -> tuple[float, float]:
        """Bad shares of candidate and baseline; 0 without requests."""
        return self.x_c / max(1, self.n_c), self.x_b / max(1, self.n_b)

    def to_json(self) -> list[int]:
        """Its four counts; `Slot(*...)` is the inverse."""
        return [self.n_c, self.x_c, self.n_b, self.x_b]


NOTHING = Slot()


def _log_choose(n: int, k: int) -> float:
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)


@lru_cache(maxsize=65_536)
def log_e(slot: Slot, odds_ratio: float) -> float:
    """ln of the stratum's e-value: Fisher's noncentral against the central hypergeometric at x_c, given the margins.

    Expectation <= 1 for every true odds ratio <= 1, whatever the base rate or the share
    (ter Schure, Perez-Ortiz, Ly, Grunwald 2024, NEJSDS 2(2), ties).
    """
    bad, total = slot.x_c + slot.x_b, slot.n_c + slot.n_b
    if not slot.has_both_arms or bad in (0, total):
        return 0.0
    if slot.n_c == 1:
        return slot.x_c * log(odds_ratio) - log((total - bad + bad * odds_ratio) / total)
    step = log(odds_ratio)
    lowest, terms = _log_terms(slot.n_c, slot.n_b, bad)
    weighted = (term + k * step for k, term in enumerate(terms, lowest))
    return slot.x_c * step - (log_sum_exp(weighted) - _log_choose(total, bad))


@lru_cache(maxsize=4_096)
def _log_terms(n_c: int, n_b: int, bad: int) -> tuple[int, tuple[float, ...]]:
    """(lowest k, ln C(n_c,k)C(n_b,bad-k) for each possible k): the same for every odds ratio of the grid."""
    lowest, highest = max(0, bad - n_b), min(n_c, bad)
    return lowest, tuple(_log_choose(n_c, k) + _log_choose(n_b, bad - k) for k in range(lowest, highest + 1))


@dataclass(frozen=True)
class Start:
    """Wealth since one starting point: ln W per odds ratio of the grid, and the counts since then."""

    log_wealth: tuple[float, ...]
    counts: Slot = Slot()

    def after(self, slot: Slot, grid: Sequence[float]) -> "Start":
        """The start after one more stratum."""
        wealth = tuple(w + log_e(slot, ratio) for w, ratio in zip(self.log_wealth, grid, strict=True))
        return Start(wealth, self.counts + slot)


@dataclass(frozen=True)
class EProcess:
    """The e-process of one guardrail. New starts keep a late fault from being buried by clean hours."""

    grid: tuple[float, ...]
    starts: tuple[Start, ...] = ()
    pending: Slot = Slot()  # a slot that lacks an arm waits here for the next one

    def opened(self) -> Self:
        """With one more start."""
        return replace(self, starts=(*self.starts, Start((0.0,) * len(self.grid))))

    def after(self, slot: Slot) -> Self:
        """After one more slot."""
        merged = self.pending + slot
        if not merged.has_both_arms:
            return replace(self, pending=merged)
        return replace(self, starts=tuple(s.after(merged, self.grid) for s in self.starts), pending=Slot())

    def _weighted(self) -> list[float]:
        """ln(pi_j * mean_k W_jk), pi_j = 1/(j(j+1)): the weights of all starts that may ever open sum to 1."""
        return [log_mean_exp(s.log_wealth) - log(j * (j + 1)) for j, s in enumerate(self.starts, 1)]

    @property
    def log_evidence(self) -> float:
        """ln E; evidence at error rate a when E >= 1/a (Ville 1939)."""
        return log_sum_exp(self._weighted())

    @property
    def strongest(self) -> Slot:
        """Counts since the start with the most weight: where the point estimate is read."""
        weighted = self._weighted()
        return self.starts[weighted.index(max(weighted))].counts if weighted else Slot()

    def to_json(self) -> Json:
        """JSON values only; floats survive exactly."""
        starts = [{"log_wealth": list(s.log_wealth), "counts": s.counts.to_json()} for s in self.starts]
        return {"grid": list(self.grid), "starts": starts, "pending": self.pending.to_json()}

    @classmethod
    def from_json(cls, data: Json) -> Self:
        """The inverse of `to_json`."""
        starts = tuple(Start(tuple(s["log_wealth"]), Slot(*s["counts"])) for s in data["starts"])
        return cls(tuple(data["grid"]), starts, Slot(*data["pending"]))


@dataclass(frozen=True)
class Bet:
    """A bet on bounded differences Z = bad_candidate - mean(bad_baseline) in [-1, 1]; mean over its lambdas.

    `safe(tol)`: against H0 E[Z] >= tol, works with zero events. `harm()`: against H0 E[Z] <= 0, for pairs.
    (Waudby-Smith and Ramdas 2024.)
    """

    lambdas: tuple[float, ...]
    offset: float
    sign: int
    log_wealth: tuple[float, ...]
    outcomes: int = 0

    @classmethod
    def safe(cls, tolerance: float) -> Self:
        """Evidence that the candidate is less than `tolerance` worse."""
        lambdas = tuple(x / (1 - tolerance) for x in SAFE_LAMBDAS)
        return cls(lambdas, tolerance, -1, (0.0,) * len(lambdas))

    @classmethod
    def harm(cls) -> Self:
        """Evidence that the candidate is worse; multiply into the guardrail's E."""
        return cls(HARM_LAMBDAS, 0.0, 1, (0.0,) * len(HARM_LAMBDAS))

    def after(self, differences: Iterable[float]) -> Self:
        """After further independent differences."""
        wealth, count = list(self.log_wealth), self.outcomes
        for z in differences:
            gain = self.offset + self.sign * z
            wealth = [w + log1p(x * gain) for w, x in zip(wealth, self.lambdas, strict=True)]
            count += 1
        return replace(self, log_wealth=tuple(wealth), outcomes=count)

    @property
    def log_evidence(self) -> float:
        """ln E."""
        return log_mean_exp(self.log_wealth)

    def more_outcomes(self, threshold: float) -> int | None:
        """About how many more outcomes until E >= threshold: (ln threshold - ln E) / growth; None: not in sight."""
        missing = log(threshold) - self.log_evidence
        if missing <= 0:
            return 0
        growth = max(self.log_wealth) / self.outcomes if self.outcomes >= _EARLY else _EARLY_GROWTH
        return max(1, round(missing / growth)) if growth > 1e-4 else None

    def to_json(self) -> Json:
        """JSON values only; floats survive exactly."""
        return {
            "lambdas": list(self.lambdas), "offset": self.offset, "sign": self.sign,
            "log_wealth": list(self.log_wealth), "outcomes": self.outcomes,
        }  # fmt: skip

    @classmethod
    def from_json(cls, data: Json) -> Self:
        """The inverse of `to_json`."""
        return cls(tuple(data["lambdas"]), data["offset"], data["sign"], tuple(data["log_wealth"]), data["outcomes"])


def dealt_differences(candidate: Sequence[bool], baseline: Sequence[bool]) -> list[float]:
    """Z per candidate request of one slot, the baseline's requests dealt round robin, each once, in order of arrival.

    Candidate requests beyond the number of baseline ones get no partner and say nothing.
    """
    n = min(len(candidate), len(baseline))
    differences = []
    for i in range(n):
        dealt = baseline[i::n]
        differences.append(float(candidate[i]) - sum(dealt) / len(dealt))
    return differences
