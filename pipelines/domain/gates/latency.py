"""The latency gate: ratio of the p95 of both models, bootstrapped over prompts, in up to three pooled rounds."""

from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray

from pipelines.domain.gates.evidence import Evidence, LatencyPairs
from pipelines.domain.gates.spec import GateResult, GateSpec, Number, Rule
from pipelines.domain.paired import Z_POWER
from pipelines.domain.verdicts import Verdict

_RESAMPLES = 4_000
_CHUNK = 500
_SEED = 9_531
_LEAST_CALLS = 100
_Z_TWO_SIDED = 1.959964


def judge_latency(spec: GateSpec, evidence: Evidence) -> GateResult:
    """Fails on the lower bound, passes on the upper one, and on the estimate once the last round is in."""
    pairs = evidence.latency
    if pairs is None:
        return GateResult(spec, Verdict.ERROR, f"{spec.metric} could not be measured: no calls were timed")
    problem = _problem(spec, pairs)
    if problem is not None:
        return problem
    if spec.rule is Rule.ABSOLUTE:
        return _absolute(spec, np.asarray(pairs.candidate_ms))
    if pairs.production_ms is None:
        return GateResult(spec, Verdict.INCONCLUSIVE, f"{spec.metric}: no production yet", no_production=True)
    return _ratio(spec, pairs, np.asarray(pairs.candidate_ms), np.asarray(pairs.production_ms))


def _problem(spec: GateSpec, pairs: LatencyPairs) -> GateResult | None:
    candidate, production = np.asarray(pairs.candidate_ms), pairs.production_ms
    arms = [candidate] if production is None else [candidate, np.asarray(production)]
    if any(not np.isfinite(arm).all() or (arm < 0).any() for arm in arms):
        return GateResult(spec, Verdict.ERROR, f"{spec.metric} could not be measured: a time is not a number")
    if production is not None and len(production) != len(candidate):
        sentence = f"{spec.metric} could not be measured: {len(candidate)} and {len(production)} calls are no pairs"
        return GateResult(spec, Verdict.ERROR, sentence)
    calls = len(candidate)
    if calls < _LEAST_CALLS:
        sentence = f"{spec.metric}: {calls} calls, at least {_LEAST_CALLS} are needed"
        numbers: dict[str, Number] = {"n": calls, "more_calls": _LEAST_CALLS - calls}
        again = _may_go_on(spec, pairs)
        return GateResult(spec, Verdict.INCONCLUSIVE, sentence, numbers, needs_another_round=again)
    return None


def _may_go_on(spec: GateSpec, pairs: LatencyPairs) -> bool:
    return pairs.rounds < spec.number("rounds", 3)


def bootstrap_ratio(
    candidate_ms: NDArray[np.float64], production_ms: NDArray[np.float64], level: float = 0.95
) -> tuple[float, float]:
    """Percentile interval (two-sided, `level`) of p95(candidate) / p95(production), resampling pairs."""
    rng, n, ratios = np.random.default_rng(_SEED), len(candidate_ms), []
    for _ in range(_RESAMPLES // _CHUNK):
        index = rng.integers(0, n, (_CHUNK, n))
        above = np.percentile(candidate_ms[index], 95, axis=1)
        ratios.append(above / np.percentile(production_ms[index], 95, axis=1))
    low, high = np.quantile(np.concatenate(ratios), ((1 - level) / 2, (1 + level) / 2))
    return float(low), float(high)


def _ratio(
    spec: GateSpec, pairs: LatencyPairs, candidate: NDArray[np.float64], production: NDArray[np.float64]
) -> GateResult:
    p95_candidate, p95_production = float(np.percentile(candidate, 95)), float(np.percentile(production, 95))
    if p95_production <= 0:
        return GateResult(spec, Verdict.ERROR, f"{spec.metric} could not be measured: production's p95 is 0 ms")
    low, high = bootstrap_ratio(candidate, production, spec.number("level", 0.95))
    return judge_ratio(spec, Ratio(p95_candidate, p95_production, low, high, len(candidate), pairs.rounds))


@dataclass(frozen=True)
class Ratio:
    """Both p95 in ms, the interval of their ratio, and the calls and rounds that it rests on."""

    candidate_ms: float
    production_ms: float
    low: float
    high: float
    n: int
    rounds: int


def judge_ratio(spec: GateSpec, found: Ratio) -> GateResult:
    """The verdict of a measured ratio with its sentence and numbers."""
    limit, estimate = _limit(spec, found.production_ms), found.candidate_ms / found.production_ms
    numbers: dict[str, Number] = {
        "candidate": found.candidate_ms, "production": found.production_ms, "ratio": estimate, "ratio_low": found.low,
        "ratio_high": found.high, "limit": limit, "n": found.n, "rounds": found.rounds,
    }  # fmt: skip
    verdict, why = _place(estimate, found.low, found.high, limit)
    again = verdict is Verdict.INCONCLUSIVE and found.rounds < spec.number("rounds", 3)
    if verdict is Verdict.INCONCLUSIVE and not again and estimate <= limit:
        verdict, why = Verdict.PASSED, f"within {limit:.2f} on the estimate after {found.rounds} rounds"
    if verdict is Verdict.INCONCLUSIVE:
        more = more_calls(found.n, estimate - limit, found.high - found.low)
        numbers |= {"more_calls": more}
        why += f"; about {more} more calls" if more else "; no number of calls would settle it"
    sentence = (
        f"{spec.metric} {found.candidate_ms:.0f} ms against {found.production_ms:.0f} ms (production), "
        f"ratio {estimate:.2f} [{found.low:.2f}, {found.high:.2f}], n={found.n}: {why}"
    )
    return GateResult(spec, verdict, sentence + ("; another round" if again else ""), numbers, (), again)


def more_calls(n: int, gap: float, width: float) -> int | None:
    """About how many further calls tell the ratio from its limit: 80 % power of the one-sided 95 % bound."""
    if abs(gap) < 1e-9:
        return None
    deviation = width / (2 * _Z_TWO_SIDED)
    return max(1, ceil(n * Z_POWER * (deviation / gap) ** 2 - n))


def _limit(spec: GateSpec, p95_production: float) -> float:
    """The largest ratio that still counts as equal: `rel`, or `floor_ms` where that is more (docs/why)."""
    return 1 + max(spec.number("rel", 0.10), spec.number("floor_ms", 0.0) / p95_production)


def _place(estimate: float, low: float, high: float, limit: float) -> tuple[Verdict, str]:
    if low > limit:
        return Verdict.FAILED, f"slower than {limit:.2f} beyond chance"
    if high <= limit:
        return Verdict.PASSED, f"within {limit:.2f}"
    side = "above" if estimate > limit else "below"
    return Verdict.INCONCLUSIVE, f"the interval straddles {limit:.2f}, the estimate is {side}"


def _absolute(spec: GateSpec, candidate: NDArray[np.float64]) -> GateResult:
    value, limit = float(np.percentile(candidate, 95)), spec.number("max", 0.0)
    holds = value <= limit
    sentence = f"{spec.metric} {value:.0f} ms {'<=' if holds else '>'} {limit:.0f} ms (limit), n={len(candidate)}"
    numbers: dict[str, Number] = {"candidate": value, "limit": limit, "n": len(candidate)}
    return GateResult(spec, Verdict.PASSED if holds else Verdict.FAILED, sentence, numbers)
