"""Gates on task metrics: at_least_production, max_drop, min_improvement, absolute."""

from collections.abc import Callable, Mapping

import numpy as np

from pipelines.domain.gates.comparison import Comparison, NoProduction, NotMeasured, checked_values
from pipelines.domain.gates.evidence import Direction, Evidence
from pipelines.domain.gates.spec import GateResult, GateSpec, Number, Preset, Proof, Rule
from pipelines.domain.verdicts import Verdict

_LEAST_CASES = 200  # With fewer a candidate that is not below on its cases has not shown much yet.
_PASSED, _FAILED, _INCONCLUSIVE = Verdict.PASSED, Verdict.FAILED, Verdict.INCONCLUSIVE


def judge_task(spec: GateSpec, evidence: Evidence, p_adjusted: float | None = None) -> GateResult:
    """Judge one gate on a task metric; `p_adjusted`: its p of "worse" after Holm over the blocking task metrics."""
    if _is_empty(spec, evidence):
        sentence = f"{spec.metric}: the set has no cases; about {_LEAST_CASES} would tell something"
        return GateResult(spec, _INCONCLUSIVE, sentence, {"n": 0, "more_cases": _LEAST_CASES})
    try:
        if spec.rule is Rule.ABSOLUTE:
            return _absolute(spec, evidence)
        comparison = compare(spec, evidence)
    except NotMeasured as reason:
        return GateResult(spec, Verdict.ERROR, f"{spec.metric} could not be measured: {reason}")
    except NoProduction:
        return GateResult(spec, _INCONCLUSIVE, f"{spec.metric}: no production yet", no_production=True)
    return judge_comparison(spec, comparison, p_adjusted)


def judge_comparison(spec: GateSpec, comparison: Comparison, p_adjusted: float | None = None) -> GateResult:
    """The verdict of a relative rule with its sentence and all numbers."""
    result = _RELATIVE[spec.rule](spec, comparison, p_adjusted)
    numbers = {**comparison.numbers(), **result.numbers}
    return GateResult(spec, result.verdict, result.sentence, numbers, comparison.lost_cases)


def compare(spec: GateSpec, evidence: Evidence) -> Comparison:
    """The comparison that this gate judges; raises NotMeasured, NoProduction."""
    if spec.metric in evidence.unmeasured:
        raise NotMeasured(evidence.unmeasured[spec.metric])
    if spec.metric in evidence.paired:
        return Comparison.of_pairs(evidence.paired[spec.metric])
    if spec.metric in evidence.corpus:
        return Comparison.of_corpus(evidence.corpus[spec.metric])
    raise NotMeasured("no value was reported")


def _is_empty(spec: GateSpec, evidence: Evidence) -> bool:
    if spec.metric in evidence.paired:
        return not evidence.paired[spec.metric].candidate
    return spec.metric in evidence.corpus and evidence.corpus[spec.metric].n == 0


def points(share: float) -> str:
    """A share as points: 0.033 -> "3.3"."""
    return f"{100 * share:.1f}".removesuffix(".0")


def _p(p: float | None) -> str:
    if p is None:
        return ""
    return ", p<0.001" if p < 0.0005 else f", p={p:.3f}"


def _values(spec: GateSpec, c: Comparison) -> str:
    better = ">=" if c.direction is Direction.HIGHER else "<="
    worse = "<" if c.direction is Direction.HIGHER else ">"
    relation = better if c.is_not_below else worse
    return f"{spec.metric} {c.candidate:.3f} {relation} {c.production:.3f} (production), n={c.n}"


def _moved(c: Comparison) -> str:
    return f", +{c.pairs.plus}/-{c.pairs.minus}" if c.pairs else ""


def _won(spec: GateSpec, c: Comparison) -> str:
    return f"{_values(spec, c)}{_moved(c)}{' cases' if c.pairs else ''}{_p(c.p_better)}"


def _lost(spec: GateSpec, c: Comparison) -> str:
    return f"{_values(spec, c)}{_moved(c)}{_p(c.p_worse)}"


def _more_cases(spec: GateSpec, c: Comparison, tolerance: float) -> int | None:
    """Enough of them also settle it where `refresh` passes whoever is not below on that many."""
    more = c.more_cases(tolerance)
    least = int(spec.number("min_cases", _LEAST_CASES)) - c.n
    by_count = spec.params.get("preset") == Preset.REFRESH and spec.params.get("evidence", "preset") == Proof.PRESET
    if by_count and c.is_not_below and least > 0:
        return min(least, more or least)
    return more


def _not_shown(c: Comparison, more: int | None, bound: str) -> str:
    """The sentence of an inconclusive comparison: what is not excluded, and what would settle it."""
    why = "no case differs" if not c.variance else "it stands at the bound"
    tail = f"; about {more} more cases" if more else f"; no number of cases would settle it: {why}"
    if c.drop_high is None:
        return f"a drop is not excluded ({bound}){tail}"
    return f"a drop up to {points(c.drop_high)} points is not excluded ({bound}){tail}"


def _inconclusive(spec: GateSpec, c: Comparison, tolerance: float, bound: str) -> GateResult:
    moved, more = f"+{c.pairs.plus}/-{c.pairs.minus} of {c.n}: " if c.pairs else "", _more_cases(spec, c, tolerance)
    sentence = f"{_values(spec, c)}, {moved}{_not_shown(c, more, bound)}"
    return GateResult(spec, _INCONCLUSIVE, sentence, {"more_cases": more})


def _tolerance(spec: GateSpec) -> float:
    return spec.number("tolerance", 0.03 if spec.params.get("preset") == Preset.REFRESH else 0.0)


def _at_least_production(spec: GateSpec, c: Comparison, p_adjusted: float | None) -> GateResult:
    tolerance = _tolerance(spec)
    p_worse = p_adjusted if p_adjusted is not None else c.p_worse
    numbers: dict[str, Number] = {"tolerance": tolerance, "p_worse_adjusted": p_worse}
    match decide(spec, c, p_adjusted):
        case Verdict.FAILED:
            return GateResult(spec, _FAILED, f"{_lost(spec, c)}: worse beyond chance", numbers)
        case Verdict.PASSED:
            return GateResult(spec, _PASSED, _passed_sentence(spec, c, tolerance), numbers)
    return _inconclusive(spec, c, tolerance, f"tolerance {points(tolerance)}").numbered(**numbers)


def decide(spec: GateSpec, c: Comparison, p_adjusted: float | None = None) -> Verdict:
    """The verdict of a relative rule, without its sentence: what odds and simulations ask thousands of times."""
    return _DECIDE[spec.rule](spec, c, p_adjusted)


def _decide_at_least(spec: GateSpec, c: Comparison, p_adjusted: float | None) -> Verdict:
    p_worse = p_adjusted if p_adjusted is not None else c.p_worse
    if p_worse is not None and p_worse <= spec.alpha:
        return _FAILED
    return _PASSED if passes_at_least_production(spec, c, _tolerance(spec)) else _INCONCLUSIVE


def passes_at_least_production(spec: GateSpec, c: Comparison, tolerance: float) -> bool:
    """The passed branch; what is worse beyond chance was failed before."""
    match Proof(str(spec.params.get("evidence", Proof.PRESET))):
        case Proof.SUPERIOR:
            return c.p_better is not None and c.p_better <= spec.alpha
        case Proof.REQUIRED:
            return c.excludes_drop_above(tolerance)
    if spec.params.get("preset", Preset.STRICT) == Preset.STRICT:
        return c.is_not_below
    enough = c.n >= spec.number("min_cases", _LEAST_CASES)
    return c.excludes_drop_above(tolerance) or (enough and c.is_not_below)


def _passed_sentence(spec: GateSpec, c: Comparison, tolerance: float) -> str:
    if c.is_not_below:
        return _won(spec, c)
    return f"{_values(spec, c)}{_moved(c)} cases: a drop above {points(tolerance)} points is excluded"


def _limit(spec: GateSpec, production: float) -> tuple[float, str]:
    """The bound in the metric's unit and in words; a share of 0 is 0, nothing is divided."""
    if "rel" in spec.params:
        share = spec.number("rel", 0.0)
        return share * abs(production), f"{100 * share:g} % of production"
    bound = spec.number("abs", 0.0)
    return bound, f"{points(bound)} points"


def _decide_max_drop(spec: GateSpec, c: Comparison, _: float | None) -> Verdict:
    limit, _words = _limit(spec, c.production)
    needs_proof = spec.params.get("evidence") == Proof.REQUIRED
    if c.excludes_drop_above(limit) if needs_proof else c.drop <= limit + 1e-12:
        return _PASSED
    # Without an interval (an installation's own corpus metric) the value decides: there is nothing to be unsure by.
    beyond = c.shows_drop_above(limit) or (not c.has_bounds and c.drop > limit)
    return _FAILED if beyond else _INCONCLUSIVE


def _max_drop(spec: GateSpec, c: Comparison, _: float | None) -> GateResult:
    limit, words = _limit(spec, c.production)
    numbers: dict[str, Number] = {"limit": limit}
    match decide(spec, c):
        case Verdict.PASSED:
            return GateResult(spec, _PASSED, f"{_won(spec, c)}: within a drop of {words}", numbers)
        case Verdict.FAILED:
            sentence = f"{_lost(spec, c)}: dropped {points(c.drop)} points, more than {words}"
            return GateResult(spec, _FAILED, sentence, numbers)
    return _inconclusive(spec, c, limit, f"limit {words}").numbered(**numbers)


def _decide_min_improvement(spec: GateSpec, c: Comparison, _: float | None) -> Verdict:
    limit, _words = _limit(spec, c.production)
    no_regression = bool(spec.params.get("or_no_regression", False))
    if -c.drop >= limit - 1e-12 or (no_regression and c.is_not_below):
        return _PASSED
    return _FAILED if _improvement_excluded(spec, c, 0.0 if no_regression else -limit) else _INCONCLUSIVE


def _min_improvement(spec: GateSpec, c: Comparison, _: float | None) -> GateResult:
    limit, words = _limit(spec, c.production)
    numbers: dict[str, Number] = {"limit": limit, "improvement": -c.drop}
    match decide(spec, c):
        case Verdict.PASSED if -c.drop >= limit - 1e-12:
            return GateResult(spec, _PASSED, f"{_won(spec, c)}: improved by at least {words}", numbers)
        case Verdict.PASSED:
            sentence = f"{_won(spec, c)}: no regression, less than {words} gained"
            return GateResult(spec, _PASSED, sentence, numbers)
        case Verdict.FAILED:
            return GateResult(spec, _FAILED, f"{_lost(spec, c)}: not improved by {words}", numbers)
    # What is to be settled lies at a gain of `limit`, so a drop of `-limit`.
    return _inconclusive(spec, c, -limit, f"wanted + {words}").numbered(**numbers)


def _improvement_excluded(spec: GateSpec, c: Comparison, drop: float) -> bool:
    if drop == 0.0 and c.p_worse is not None:
        return c.p_worse <= spec.alpha
    return c.shows_drop_above(drop) or not c.has_bounds


def _absolute(spec: GateSpec, evidence: Evidence) -> GateResult:
    return judge_value(spec, *_candidate_value(spec, evidence))


def judge_value(spec: GateSpec, value: float, n: int) -> GateResult:
    """The verdict of a value against a limit."""
    is_floor = "min" in spec.params
    limit = spec.number("min" if is_floor else "max", 0.0)
    holds = value >= limit if is_floor else value <= limit
    relation = (">=" if is_floor else "<=") if holds else ("<" if is_floor else ">")
    sentence = f"{spec.metric} {value:.3f} {relation} {limit:.3f} (limit), n={n}"
    return GateResult(spec, _PASSED if holds else _FAILED, sentence, {"candidate": value, "limit": limit, "n": n})


def _candidate_value(spec: GateSpec, evidence: Evidence) -> tuple[float, int]:
    if spec.metric in evidence.paired:
        values = checked_values(evidence.paired[spec.metric])
        return float(values.mean()), len(values)
    if spec.metric in evidence.corpus:
        score = evidence.corpus[spec.metric]
        if not np.isfinite(score.candidate):
            raise NotMeasured("the candidate's value is not a number")
        return score.candidate, score.n
    raise NotMeasured("no value was reported")


_RELATIVE: Mapping[Rule, Callable[[GateSpec, Comparison, float | None], GateResult]] = {
    Rule.AT_LEAST_PRODUCTION: _at_least_production,
    Rule.MAX_DROP: _max_drop,
    Rule.MIN_IMPROVEMENT: _min_improvement,
}
_DECIDE: Mapping[Rule, Callable[[GateSpec, Comparison, float | None], Verdict]] = {
    Rule.AT_LEAST_PRODUCTION: _decide_at_least,
    Rule.MAX_DROP: _decide_max_drop,
    Rule.MIN_IMPROVEMENT: _decide_min_improvement,
}
