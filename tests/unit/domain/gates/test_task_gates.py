"""Gates on task metrics: the four verdicts, their sentences, directions, presets and odd evidence."""

import math
from collections.abc import Mapping

import numpy as np
import pytest

from pipelines.domain.gates import (
    DEFAULT_GATES,
    CorpusScore,
    Direction,
    Evidence,
    GateKind,
    GateResult,
    GateSpec,
    PairedScores,
    Rule,
    check_spec,
    judge,
    judge_all,
)
from pipelines.domain.gates.spec import Param, UnworkableGate
from pipelines.domain.verdicts import Effect, Verdict


def gate(rule: Rule = Rule.AT_LEAST_PRODUCTION, metric: str = "accuracy", **params: Param) -> GateSpec:
    spec = GateSpec(GateKind.TASK, metric, rule, Effect.BLOCK, params)
    check_spec(spec)
    return spec


def answers(n: int, both_right: int, plus: int, minus: int) -> PairedScores:
    """Cases: right in both, then only by the candidate, then only by production, then wrong in both."""
    candidate = [1.0] * (both_right + plus) + [0.0] * (n - both_right - plus)
    production = [1.0] * both_right + [0.0] * plus + [1.0] * minus + [0.0] * (n - both_right - plus - minus)
    ids = [f"case-{i:04d}" for i in range(n)]
    return PairedScores(dict(zip(ids, candidate, strict=True)), dict(zip(ids, production, strict=True)))


def accuracy(scores: PairedScores) -> Evidence:
    return Evidence(paired={"accuracy": scores})


def verdict_of(spec: GateSpec, n: int, plus: int, minus: int) -> Verdict:
    return judge(spec, accuracy(answers(n, n - plus - minus, plus, minus))).verdict


def test_a_better_candidate_passes_with_its_numbers_in_one_sentence() -> None:
    result = judge(gate(), accuracy(answers(400, 318, 7, 0)))
    assert result.verdict is Verdict.PASSED
    assert result.sentence == "accuracy 0.812 >= 0.795 (production), n=400, +7/-0 cases, p=0.008"
    assert result.numbers["mde"] is not None


def test_a_candidate_worse_beyond_chance_fails_and_lists_what_it_lost() -> None:
    result = judge(gate(), accuracy(answers(400, 303, 6, 18)))
    assert result.verdict is Verdict.FAILED
    assert result.sentence == "accuracy 0.772 < 0.802 (production), n=400, +6/-18, p=0.011: worse beyond chance"
    assert len(result.cases) == 18
    assert result.cases[0] == "case-0309"


def test_an_equal_candidate_passes_strict() -> None:
    assert verdict_of(gate(), 400, 5, 5) is Verdict.PASSED


def test_a_little_below_is_inconclusive_and_says_how_many_more() -> None:
    result = judge(gate(), accuracy(answers(400, 300, 8, 13)))
    assert result.verdict is Verdict.INCONCLUSIVE
    assert result.sentence.endswith(
        "+8/-13 of 400: a drop up to 3.3 points is not excluded (tolerance 0); about 1677 more cases"
    )


@pytest.mark.parametrize(
    ("params", "n", "plus", "minus", "more"),
    [
        ({"preset": "refresh"}, 150, 10, 10, 50),  # 200 cases on which it is not below settle it too
        ({"evidence": "required"}, 400, 12, 6, 6.18 * (18 / 400) / (6 / 400) ** 2 - 400),
        ({"evidence": "superior"}, 400, 6, 3, 6.18 * (9 / 400) / (3 / 400) ** 2 - 400),
        ({"evidence": "superior"}, 400, 3, 6, 6.18 * (9 / 400) / (3 / 400) ** 2 - 400),
        ({"evidence": "required"}, 400, 5, 5, None),
        ({"evidence": "required"}, 400, 0, 0, None),
    ],
)
def test_every_candidate_kept_back_is_told_what_would_settle_it(
    params: Mapping[str, Param], n: int, plus: int, minus: int, more: float | None
) -> None:
    result = judge(gate(**params), accuracy(answers(n, n - plus - minus, plus, minus)))
    assert result.verdict is Verdict.INCONCLUSIVE
    if more is None:
        assert "no number of cases would settle it" in result.sentence
    else:
        assert f"; about {math.ceil(more)} more cases" in result.sentence
        assert result.numbers["more_cases"] == math.ceil(more)


def test_refresh_says_the_same_with_its_tolerance() -> None:
    result = judge(gate(preset="refresh"), accuracy(answers(400, 300, 8, 13)))
    assert result.verdict is Verdict.INCONCLUSIVE
    assert (
        "+8/-13 of 400: a drop up to 3.3 points is not excluded (tolerance 3); about 660 more cases" in result.sentence
    )


@pytest.mark.parametrize(
    ("params", "n", "plus", "minus", "expected"),
    [
        ({"preset": "refresh"}, 1000, 20, 25, Verdict.PASSED),  # a drop above 3 points is excluded
        ({"preset": "refresh"}, 200, 10, 10, Verdict.PASSED),  # 200 cases and not below
        ({"preset": "refresh"}, 150, 10, 10, Verdict.INCONCLUSIVE),  # too few for the second branch
        ({"preset": "refresh"}, 1000, 10, 40, Verdict.FAILED),
        ({"evidence": "required"}, 400, 10, 10, Verdict.INCONCLUSIVE),
        ({"evidence": "required"}, 400, 12, 2, Verdict.PASSED),
        ({"evidence": "superior"}, 400, 6, 3, Verdict.INCONCLUSIVE),
        ({"evidence": "superior"}, 400, 9, 1, Verdict.PASSED),
        ({"evidence": "superior", "preset": "refresh"}, 400, 5, 5, Verdict.INCONCLUSIVE),
        ({"alpha": 0.025}, 400, 1, 6, Verdict.INCONCLUSIVE),  # p = .0625
        ({"alpha": 0.10}, 400, 1, 6, Verdict.FAILED),
    ],
)
def test_at_least_production_by_preset_and_evidence(
    params: Mapping[str, Param], n: int, plus: int, minus: int, expected: Verdict
) -> None:
    assert verdict_of(gate(**params), n, plus, minus) is expected


@pytest.mark.parametrize(
    ("params", "plus", "minus", "expected"),
    [
        ({"abs": 0.03}, 0, 12, Verdict.PASSED),
        ({"abs": 0.03}, 10, 23, Verdict.INCONCLUSIVE),
        ({"abs": 0.03}, 0, 60, Verdict.FAILED),
        ({"rel": 0.05}, 0, 20, Verdict.PASSED),
        ({"rel": 0.05}, 0, 60, Verdict.FAILED),
        ({"abs": 0.03, "evidence": "required"}, 0, 12, Verdict.INCONCLUSIVE),
    ],
)
def test_max_drop(params: Mapping[str, Param], plus: int, minus: int, expected: Verdict) -> None:
    assert verdict_of(gate(Rule.MAX_DROP, **params), 400, plus, minus) is expected


@pytest.mark.parametrize(
    ("params", "plus", "minus", "expected"),
    [
        ({"abs": 0.005}, 4, 2, Verdict.PASSED),
        ({"abs": 0.005}, 3, 2, Verdict.INCONCLUSIVE),
        ({"abs": 0.005, "or_no_regression": True}, 3, 2, Verdict.PASSED),
        ({"abs": 0.005, "or_no_regression": True}, 2, 3, Verdict.INCONCLUSIVE),
        ({"abs": 0.005, "or_no_regression": True}, 2, 30, Verdict.FAILED),
        ({"abs": 0.05}, 2, 10, Verdict.FAILED),
        ({"rel": 0.01}, 8, 0, Verdict.PASSED),
    ],
)
def test_min_improvement(params: Mapping[str, Param], plus: int, minus: int, expected: Verdict) -> None:
    assert verdict_of(gate(Rule.MIN_IMPROVEMENT, **params), 400, plus, minus) is expected


@pytest.mark.parametrize(
    ("params", "expected", "words"),
    [
        ({"min": 0.8}, Verdict.PASSED, "accuracy 0.812 >= 0.800 (limit), n=400"),
        ({"min": 0.9}, Verdict.FAILED, "accuracy 0.812 < 0.900 (limit), n=400"),
        ({"max": 0.5}, Verdict.FAILED, "accuracy 0.812 > 0.500 (limit), n=400"),
    ],
)
def test_absolute_decides_without_production(params: Mapping[str, Param], expected: Verdict, words: str) -> None:
    scores = PairedScores(answers(400, 318, 7, 0).candidate, None)
    result = judge(gate(Rule.ABSOLUTE, **params), accuracy(scores))
    assert (result.verdict, result.sentence) == (expected, words)


def test_a_baseline_of_zero_is_not_divided_by() -> None:
    nothing_right = answers(200, 0, 0, 0)
    assert judge(gate(Rule.MAX_DROP, rel=0.05), accuracy(nothing_right)).verdict is Verdict.PASSED
    assert judge(gate(Rule.MIN_IMPROVEMENT, rel=0.05), accuracy(answers(200, 0, 3, 0))).verdict is Verdict.PASSED


def graded(shift: float, n: int = 300, direction: Direction = Direction.HIGHER) -> Evidence:
    production = np.random.default_rng(1).uniform(0.2, 0.9, n)
    candidate = production + shift + np.random.default_rng(2).normal(0, 0.05, n)
    ids = [str(i) for i in range(n)]
    scores = PairedScores(
        dict(zip(ids, candidate.tolist(), strict=True)), dict(zip(ids, production.tolist(), strict=True)), direction
    )
    return Evidence(paired={"rouge": scores})


@pytest.mark.parametrize(
    ("shift", "direction", "expected"),
    [
        (0.05, Direction.HIGHER, Verdict.PASSED),
        (-0.05, Direction.HIGHER, Verdict.FAILED),
        (-0.05, Direction.LOWER, Verdict.PASSED),
        (0.05, Direction.LOWER, Verdict.FAILED),
    ],
)
def test_graded_scores_follow_the_direction_of_their_metric(
    shift: float, direction: Direction, expected: Verdict
) -> None:
    assert judge(gate(metric="rouge"), graded(shift, direction=direction)).verdict is expected


def test_a_corpus_metric_is_judged_by_its_own_p() -> None:
    def macro_f1(candidate: float, p_worse: float) -> GateResult:
        scores = {"macro_f1": CorpusScore(candidate, 0.80, 400, p_worse=p_worse, p_better=1 - p_worse)}
        return judge(gate(metric="macro_f1"), Evidence(corpus=scores))

    assert macro_f1(0.81, 0.8).verdict is Verdict.PASSED
    assert macro_f1(0.70, 0.001).verdict is Verdict.FAILED
    assert macro_f1(0.79, 0.3).verdict is Verdict.INCONCLUSIVE
    assert "a drop is not excluded" in macro_f1(0.79, 0.3).sentence


@pytest.mark.parametrize(
    ("evidence", "words"),
    [
        (Evidence(), "no value was reported"),
        (accuracy(PairedScores({"a": float("nan")}, {"a": 1.0})), "1 of the candidate's scores are not numbers"),
        (accuracy(PairedScores({"a": 1.0}, {"a": float("inf")})), "1 of production's scores are not numbers"),
        (accuracy(PairedScores({"a": 1.0, "b": 1.0}, {"a": 1.0, "c": 1.0})), "not comparable: 2 cases"),
        (Evidence(corpus={"accuracy": CorpusScore(float("nan"), 0.8, 10)}), "not a number"),
    ],
)
def test_what_could_not_be_measured_is_an_error(evidence: Evidence, words: str) -> None:
    result = judge(gate(), evidence)
    assert result.verdict is Verdict.ERROR
    assert words in result.sentence


def test_an_empty_set_is_inconclusive() -> None:
    assert judge(gate(), accuracy(PairedScores({}, {}))).verdict is Verdict.INCONCLUSIVE
    assert judge(gate(), Evidence(corpus={"accuracy": CorpusScore(0, 0, 0)})).verdict is Verdict.INCONCLUSIVE


def test_without_production_a_relative_gate_says_so() -> None:
    result = judge(gate(), accuracy(PairedScores({"a": 1.0}, None)))
    assert (result.verdict, result.no_production) == (Verdict.INCONCLUSIVE, True)
    assert "no production yet" in result.sentence


def test_holm_corrects_failed_over_the_blocking_task_metrics_only() -> None:
    scores = answers(400, 300, 6, 15)  # p = .039 alone
    evidence = Evidence(paired={"accuracy": scores, "exact": scores, "json": answers(400, 300, 5, 5)})
    alone = judge_all([gate()], evidence)
    together = judge_all([gate(), gate(metric="exact"), gate(metric="json")], evidence)
    shown = judge_all([gate(), GateSpec(GateKind.TASK, "exact", Rule.AT_LEAST_PRODUCTION, Effect.FLAG)], evidence)
    assert alone[0].verdict is Verdict.FAILED
    assert [r.verdict for r in together] == [Verdict.INCONCLUSIVE, Verdict.INCONCLUSIVE, Verdict.PASSED]
    assert shown[0].verdict is Verdict.FAILED


@pytest.mark.parametrize(
    "spec",
    [
        GateSpec(GateKind.TASK, "accuracy", Rule.ALL_PASS),
        GateSpec(GateKind.SAFETY, "safety", Rule.MAX_DROP, params={"abs": 0.1}),
        GateSpec(GateKind.TASK, "accuracy", Rule.MAX_DROP),
        GateSpec(GateKind.TASK, "accuracy", Rule.MAX_DROP, params={"abs": 0.1, "rel": 0.1}),
        GateSpec(GateKind.TASK, "accuracy", Rule.AT_LEAST_PRODUCTION, params={"preset": "lenient"}),
        GateSpec(GateKind.TASK, "accuracy", Rule.AT_LEAST_PRODUCTION, params={"evidence": "none"}),
        GateSpec(GateKind.TASK, "accuracy", Rule.AT_LEAST_PRODUCTION, params={"tolerance": float("nan")}),
        GateSpec(GateKind.LATENCY, "latency_p95", Rule.WITHIN, params={"rel": 0.1, "calls": 50}),
    ],
)
def test_a_gate_that_cannot_work_is_refused_with_a_sentence(spec: GateSpec) -> None:
    with pytest.raises(UnworkableGate):
        check_spec(spec)


@pytest.mark.parametrize("spec", DEFAULT_GATES)
def test_the_default_gates_work(spec: GateSpec) -> None:
    check_spec(spec)
