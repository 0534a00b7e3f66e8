"""Gates on task metrics: at_least_production, max_drop, min_improvement, absolute."""

from collections.abc import Callable, Mapping

import numpy as np

from pipelines.domain.gates.comparison import Comparison, NoProduction, NotMeasured, checked_values
from pipelines.domain.gates.evidence import Direction, Evidence
from pipelines.domain.gates.spec import GateResult, GateSpec, Number, Preset, Proof, Rule
from pipelines.domain.verdicts import Verdict

_PASSED, _FAILED, _INCONCLUSIVE = Verdict.PASSED, Verdict.FAILED, Verdict.INCONCLUSIVE


def judge_task(spec: GateSpec, evidence: Evidence, p_adjusted: float | None = None) -> GateResult:
    """Judge one gate on a task metric; `p_adjusted`: its p of "worse" after Holm over the blocking task metrics."""
    if _is_empty(spec, evidence):
        return GateResult(spec, _INCONCLUSIVE, f"{spec.metric}: the set has no cases", {"n": 0})
    try:
        if spec.rule is Rule.ABSOLUTE:
            return _absolute(spec, evidence)
        comparison = compare(spec, evidence)
    except NotMeasured as reason:
        return GateResult(spec, Verdict.ERROR, f"{spec.metric} could not be measured: {reason}")
    except NoProduction:
        return GateResult(spec, _INCONCLUSIVE, f"{spec.metric}: no production yet", no_production=True)
    result = _RELATIVE[spec.rule](spec, comparison, p_adjusted)
    return GateResult(
        spec, result.verdict, result.sentence, {**comparison.numbers(), **result.numbers}, comparison.lost_cases
    )


def compare(spec: GateSpec, evidence: Evidence) -> Comparison:
    """The comparison that this gate judges; raises NotMeasured, NoProduction."""
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


def _not_shown(c: Comparison, tolerance: float, bound: str) -> str:
    """The sentence of an inconclusive comparison: what is not excluded, and what would settle it."""
    more = c.more_cases(tolerance)
    tail = f"; about {more} more cases" if more else ""
    if c.drop_high is None:
        return f"a drop is not excluded ({bound}){tail}"
    return f"a drop up to {points(c.drop_high)} points is not excluded ({bound}){tail}"


def _inconclusive(spec: GateSpec, c: Comparison, tolerance: float, bound: str) -> GateResult:
    moved = f"+{c.pairs.plus}/-{c.pairs.minus} of {c.n}: " if c.pairs else ""
    sentence = f"{_values(spec, c)}, {moved}{_not_shown(c, tolerance, bound)}"
    return GateResult(spec, _INCONCLUSIVE, sentence, {"more_cases": c.more_cases(tolerance)})


def _at_least_production(spec: GateSpec, c: Comparison, p_adjusted: float | None) -> GateResult:
    tolerance = spec.number("tolerance", 0.03 if spec.params.get("preset") == Preset.REFRESH else 0.0)
    p_worse = p_adjusted if p_adjusted is not None else c.p_worse
    numbers: dict[str, Number] = {"tolerance": tolerance, "p_worse_adjusted": p_worse}
    if p_worse is not None and p_worse <= spec.alpha:
        return GateResult(spec, _FAILED, f"{_lost(spec, c)}: worse beyond chance", numbers)
    if passes_at_least_production(spec, c, tolerance):
        return GateResult(spec, _PASSED, _passed_sentence(spec, c, tolerance), numbers)
    return _inconclusive(spec, c, tolerance, f"tolerance {points(tolerance)}").numbered(**numbers)


def passes_at_least_production(spec: GateSpec, c: Comparison, tolerance: float) -> bool:
    """The passed branch; what is worse beyond chance was failed before."""
    match Proof(str(spec.params.get("evidence", Proof.PRESET))):
        case Proof.SUPERIOR:
            return c.p_better is not None and c.p_better <= spec.alpha
        case Proof.REQUIRED:
            return c.excludes_drop_above(tolerance)
    if spec.params.get("preset", Preset.STRICT) == Preset.STRICT:
        return c.is_not_below
    enough = c.n >= spec.number("min_cases", 200)
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


def _max_drop(spec: GateSpec, c: Comparison, _: float | None) -> GateResult:
    limit, words = _limit(spec, c.production)
    numbers: dict[str, Number] = {"limit": limit}
    fits = c.excludes_drop_above(limit) if spec.params.get("evidence") == Proof.REQUIRED else c.drop <= limit + 1e-12
    if fits:
        return GateResult(spec, _PASSED, f"{_won(spec, c)}: within a drop of {words}", numbers)
    # Without an interval (corpus metrics) the value decides: there is nothing to be unsure by.
    if c.shows_drop_above(limit) or (c.drop_low is None and c.drop > limit):
        sentence = f"{_lost(spec, c)}: dropped {points(c.drop)} points, more than {words}"
        return GateResult(spec, _FAILED, sentence, numbers)
    return _inconclusive(spec, c, limit, f"limit {words}").numbered(**numbers)


def _min_improvement(spec: GateSpec, c: Comparison, _: float | None) -> GateResult:
    limit, words = _limit(spec, c.production)
    numbers: dict[str, Number] = {"limit": limit, "improvement": -c.drop}
    if -c.drop >= limit - 1e-12:
        return GateResult(spec, _PASSED, f"{_won(spec, c)}: improved by at least {words}", numbers)
    no_regression = bool(spec.params.get("or_no_regression", False))
    if no_regression and c.is_not_below:
        return GateResult(spec, _PASSED, f"{_won(spec, c)}: no regression, less than {words} gained", numbers)
    if _improvement_excluded(spec, c, 0.0 if no_regression else -limit):
        return GateResult(spec, _FAILED, f"{_lost(spec, c)}: not improved by {words}", numbers)
    return _inconclusive(spec, c, 0.0, f"wanted + {words}").numbered(**numbers)


def _improvement_excluded(spec: GateSpec, c: Comparison, drop: float) -> bool:
    if drop == 0.0 and c.p_worse is not None:
        return c.p_worse <= spec.alpha
    return c.shows_drop_above(drop) or c.drop_low is None


def _absolute(spec: GateSpec, evidence: Evidence) -> GateResult:
    value, n = _candidate_value(spec, evidence)
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
