"""Past verdicts judged again: unchanged under the same gate, told from the stored numbers under another."""

from __future__ import annotations

import json

import numpy as np
import pytest

from pipelines.domain.gates import (
    Evidence,
    FileSizes,
    GateKind,
    GateSpec,
    LatencyPairs,
    PairedScores,
    Rule,
    SetOutcome,
    judge,
)
from pipelines.domain.gates.evidence import Direction
from pipelines.domain.gates.spec import Param
from pipelines.domain.simulation.replay import judged_again
from pipelines.domain.verdicts import Effect, Verdict


def task(rule: Rule = Rule.AT_LEAST_PRODUCTION, **params: Param) -> GateSpec:
    return GateSpec(GateKind.TASK, "score", rule, Effect.BLOCK, params)


def right_or_wrong(plus: int, minus: int, n: int = 400) -> PairedScores:
    ids = [f"c{i}" for i in range(n)]
    candidate = [1.0] * plus + [0.0] * minus + [1.0] * (n - plus - minus)
    production = [0.0] * plus + [1.0] * minus + [1.0] * (n - plus - minus)
    return PairedScores(dict(zip(ids, candidate, strict=True)), dict(zip(ids, production, strict=True)))


def graded(shift: float, direction: Direction) -> PairedScores:
    rng, ids = np.random.default_rng(3), [f"c{i}" for i in range(200)]
    production = rng.uniform(0.2, 0.8, 200)
    candidate = production + shift + rng.normal(0, 0.1, 200)
    arms = (dict(zip(ids, arm.tolist(), strict=True)) for arm in (candidate, production))
    return PairedScores(*arms, direction)


TASKS = [
    right_or_wrong(5, 5),
    right_or_wrong(8, 13),
    right_or_wrong(2, 20),
    graded(-0.01, Direction.HIGHER),
    graded(0.01, Direction.LOWER),
    graded(-0.1, Direction.HIGHER),
]
SPECS = [
    task(),
    task(preset="refresh"),
    task(evidence="required", tolerance=0.02),
    task(evidence="superior"),
    task(Rule.MAX_DROP, abs=0.02),
    task(Rule.MIN_IMPROVEMENT, abs=0.005, or_no_regression=True),
    task(Rule.ABSOLUTE, min=0.5),
]


@pytest.mark.parametrize("scores", TASKS)
def test_any_gate_gives_the_same_on_the_stored_numbers_as_on_the_answers(scores: PairedScores) -> None:
    evidence = Evidence(paired={"score": scores})
    stored = json.loads(json.dumps(dict(judge(task(), evidence).numbers)))
    for spec in SPECS:
        fresh, again = judge(spec, evidence), judged_again(spec, stored)
        assert again is not None
        assert (again.verdict, again.sentence.split("; about")[0]) == (
            fresh.verdict,
            fresh.sentence.split("; about")[0],
        )


def test_a_looser_preset_lets_a_kept_back_candidate_pass_once_the_tolerance_allows() -> None:
    stored = judge(task(), Evidence(paired={"score": right_or_wrong(8, 13)})).numbers
    verdicts = [judged_again(task(preset="refresh", tolerance=t), stored) for t in (0.03, 0.05)]
    assert [found.verdict for found in verdicts if found] == [Verdict.INCONCLUSIVE, Verdict.PASSED]


def test_a_latency_limit_is_moved_on_the_stored_ratio() -> None:
    rng = np.random.default_rng(4)
    work = rng.uniform(80, 120, 300)
    arms = (tuple((slow * work * np.exp(rng.normal(0, 0.03, 300))).tolist()) for slow in (1.15, 1.0))
    gate = GateSpec(GateKind.LATENCY, "latency_p95", Rule.WITHIN, params={"rel": 0.05})
    stored = judge(gate, Evidence(latency=LatencyPairs(*arms, rounds=3))).numbers

    def verdict(rel: float) -> Verdict | None:
        spec = GateSpec(GateKind.LATENCY, "latency_p95", Rule.WITHIN, params={"rel": rel})
        found = judged_again(spec, stored)
        return found.verdict if found else None

    assert [verdict(rel) for rel in (0.05, 0.50)] == [Verdict.FAILED, Verdict.PASSED]


def test_a_size_limit_is_moved_on_the_stored_sizes() -> None:
    def size(rel: float) -> GateSpec:
        return GateSpec(GateKind.SIZE, "gguf_bytes", Rule.WITHIN, params={"rel": rel, "both_sides": True})

    stored = judge(size(0.05), Evidence(sizes=FileSizes(110, 100))).numbers
    found = [judged_again(size(rel), stored) for rel in (0.05, 0.20)]
    assert [one.verdict for one in found if one] == [Verdict.FAILED, Verdict.PASSED]


def test_what_the_numbers_do_not_tell_stays_as_it_was() -> None:
    safety = GateSpec(GateKind.SAFETY, "safety", Rule.ALL_PASS)
    assert judged_again(safety, judge(safety, Evidence(sets={"safety": SetOutcome({"a": True})})).numbers) is None
    assert judged_again(task(), judge(task(), Evidence()).numbers) is None
    first = Evidence(paired={"score": PairedScores({"a": 1.0}, None)})
    assert judged_again(task(), judge(task(), first).numbers) is None
