"""How often a gate keeps back an equally good retrain, and how small a harm it catches, on the sets at hand."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from math import inf, log
from statistics import NormalDist

import numpy as np

from pipelines.domain.gates.comparison import Comparison
from pipelines.domain.gates.evidence import Direction
from pipelines.domain.gates.spec import GateKind, GateSpec, Rule
from pipelines.domain.gates.task import decide
from pipelines.domain.paired import Z_95, Pairs
from pipelines.domain.power import all_pass_block_rate, verdict_rates
from pipelines.domain.verdicts import Verdict

CAUGHT = 0.80  # A harm is caught when it is kept back with this probability.
_WALKS = 20_000
_Z_TWO_SIDED = 1.959964
_NORMAL_POINTS = 800


@dataclass(frozen=True)
class AtHand:
    """What is known before a run. Shares are fractions.

    cases: of the held-out set. discordance: share of its cases on which two equal models differ. production: its score.
    graded: variance of one case's difference, per metric that is not right or wrong. must_pass: cases per set.
    flip: chance that a stable case flips. latency_sd: of ln(ratio of p95) after one round. p95_ms: production's.
    """

    cases: int
    discordance: float = 0.05
    production: float = 0.9
    graded: Mapping[str, float] = field(default_factory=dict)
    must_pass: Mapping[str, int] = field(default_factory=dict)
    flip: float = 0.001
    latency_sd: float = 0.05
    p95_ms: float = 50.0
    family: int = 1  # how many blocking task metrics share the error rate of `failed`


@dataclass(frozen=True)
class Odds:
    """Shares of runs. kept_back: an equal retrain is not passed; called_worse: it is failed.

    caught: the smallest harm that is kept back with 80 %; shown: the smallest that is failed with 80 %. In the unit of
    `unit`: "points", "share of cases", "slower". None: no harm is, or nothing is known.
    """

    kept_back: float
    called_worse: float
    caught: float | None
    shown: float | None
    unit: str


def odds_of(spec: GateSpec, at_hand: AtHand) -> Odds | None:
    """None for a gate that no chance decides: a file's size, an absolute latency, a set without cases."""
    match spec.kind:
        case GateKind.TASK if at_hand.cases:
            return _task(spec, at_hand)
        case GateKind.REGRESSION | GateKind.SAFETY if at_hand.must_pass.get(spec.metric):
            return _must_pass(at_hand.must_pass[spec.metric], at_hand.flip)
        case GateKind.LATENCY if spec.rule is Rule.WITHIN:
            return _latency(spec, at_hand)
    return None


def combined(found: Iterable[Odds]) -> float:
    """P(an equal retrain is kept back by at least one of the gates), as if they were independent."""
    let_through = 1.0
    for odds in found:
        let_through *= 1 - odds.kept_back
    return 1 - let_through


Rates = Callable[[float], Mapping[Verdict, float]]


def _task(spec: GateSpec, at_hand: AtHand) -> Odds:
    family = at_hand.family if spec.decides else 1

    def rates(drop: float) -> Mapping[Verdict, float]:
        if spec.metric in at_hand.graded:
            return _graded_rates(spec, at_hand, drop, family)
        return verdict_rates(
            at_hand.cases, at_hand.discordance, drop, lambda pairs: decide_pairs(spec, pairs, at_hand.production)
        )

    if family > 1 and spec.metric not in at_hand.graded:
        spec = replace(spec, params={**spec.params, "alpha": spec.alpha / family})
    return _odds(rates, 1.0 - at_hand.discordance, "points")


def decide_pairs(spec: GateSpec, pairs: Pairs, production: float) -> Verdict:
    """The verdict of a task gate on right/wrong cases, by their counts and production's score."""
    if spec.rule is Rule.ABSOLUTE:
        return _absolute(spec, production - pairs.drop)
    return decide(spec, Comparison.of_outcome(pairs, production))


def _absolute(spec: GateSpec, value: float) -> Verdict:
    low, high = spec.number("min", -inf), spec.number("max", inf)
    return Verdict.PASSED if low <= value <= high else Verdict.FAILED


def _graded_rates(spec: GateSpec, at_hand: AtHand, drop: float, family: int) -> Mapping[Verdict, float]:
    """The mean difference taken as normal, which 100 cases and more make it."""
    normal, rates = NormalDist(), dict.fromkeys(Verdict, 0.0)
    deviation = (at_hand.graded[spec.metric] / at_hand.cases) ** 0.5
    for i in range(_NORMAL_POINTS):
        found = drop + deviation * normal.inv_cdf((i + 0.5) / _NORMAL_POINTS)
        if spec.rule is Rule.ABSOLUTE:
            verdict = _absolute(spec, at_hand.production - found)
        else:
            verdict = decide(spec, _graded(found, deviation, at_hand, family))
        rates[verdict] += 1 / _NORMAL_POINTS
    return rates


def _graded(drop: float, deviation: float, at_hand: AtHand, family: int) -> Comparison:
    z = drop / deviation if deviation else 0.0
    normal = NormalDist()
    return Comparison(
        candidate=at_hand.production - drop,
        production=at_hand.production,
        n=at_hand.cases,
        direction=Direction.HIGHER,
        p_worse=min(1.0, family * (1 - normal.cdf(z))) if deviation else 1.0,
        p_better=normal.cdf(z) if deviation else 1.0,
        drop_low=drop - Z_95 * deviation,
        drop_high=drop + Z_95 * deviation,
    )


def _odds(rates: Rates, most: float, unit: str) -> Odds:
    equal = rates(0.0)
    caught = _smallest(lambda drop: 1 - rates(drop)[Verdict.PASSED] >= CAUGHT, most)
    shown = _smallest(lambda drop: rates(drop)[Verdict.FAILED] >= CAUGHT, most)
    return Odds(1 - equal[Verdict.PASSED], equal[Verdict.FAILED], caught, shown, unit)


def _smallest(holds: Callable[[float], bool], most: float) -> float | None:
    """The smallest harm for which it holds, to 0.05 points; begun small, because large harms cost more to sum."""
    low, high = 0.0, min(most, 0.01)
    if holds(low):
        return low
    while not holds(high):
        if high >= most:
            return None
        low, high = high, min(most, 2 * high)
    while high - low > 5e-4:
        middle = (low + high) / 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def _must_pass(cases: int, flip: float) -> Odds:
    """Every case must pass: what breaks this share of such cases is caught."""
    blocked, share = all_pass_block_rate(cases, flip), 1 - (1 - CAUGHT) ** (1 / cases)
    return Odds(blocked, blocked, share, share, "share of cases")


def _latency(spec: GateSpec, at_hand: AtHand) -> Odds:
    limit = log(1 + max(spec.number("rel", 0.10), spec.number("floor_ms", 0.0) / at_hand.p95_ms))
    rounds = int(spec.number("rounds", 3))

    def rates(slower: float) -> Mapping[Verdict, float]:
        return latency_rates(log(1 + slower), limit, at_hand.latency_sd, rounds)

    return _odds(rates, 10.0, "slower")


@lru_cache(maxsize=512)
def latency_rates(true: float, limit: float, sd: float, rounds: int) -> Mapping[Verdict, float]:
    """Rounds pooled while the interval straddles the limit; the last passes on the estimate. `sd`: of ln(ratio)."""
    steps = np.random.default_rng(4_127).normal(true, sd, (_WALKS, rounds))
    pooled = np.cumsum(steps, axis=1) / np.arange(1, rounds + 1)
    open_, rates = np.ones(_WALKS, dtype=bool), dict.fromkeys(Verdict, 0.0)
    for done in range(1, rounds + 1):
        now, half = pooled[:, done - 1], _Z_TWO_SIDED * sd / done**0.5
        slow, fine = open_ & (now - half > limit), open_ & (now + half <= limit)
        if done == rounds:
            fine |= open_ & ~slow & (now <= limit)
        rates[Verdict.FAILED] += float(slow.mean())
        rates[Verdict.PASSED] += float(fine.mean())
        open_ &= ~(slow | fine)
    rates[Verdict.INCONCLUSIVE] = float(open_.mean())
    return rates
