"""What gates do to equal and harmed retrains: the printed tables, and the same by drawing."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.domain.gates import GateKind, GateSpec, LatencyPairs, Rule, judge
from pipelines.domain.gates.evidence import Evidence
from pipelines.domain.gates.spec import Param
from pipelines.domain.paired import Pairs
from pipelines.domain.power import verdict_rates
from pipelines.domain.simulation import AtHand, Odds, combined, odds_of
from pipelines.domain.simulation.odds import decide_pairs, latency_rates
from pipelines.domain.verdicts import Effect, Verdict


def task(rule: Rule = Rule.AT_LEAST_PRODUCTION, **params: Param) -> GateSpec:
    return GateSpec(GateKind.TASK, "accuracy", rule, Effect.BLOCK, params)


def found(spec: GateSpec, at_hand: AtHand) -> Odds:
    odds = odds_of(spec, at_hand)
    assert odds is not None
    return odds


@pytest.mark.parametrize(
    ("params", "n", "d", "kept_back"),
    [
        ({"preset": "strict"}, 400, 0.05, 0.455),
        ({"preset": "strict"}, 200, 0.10, 0.455),
        ({"preset": "refresh"}, 400, 0.05, 0.18),
        ({"preset": "refresh"}, 1000, 0.10, 0.09),
        ({"evidence": "required"}, 400, 0.05, 0.95),
    ],
)
def test_an_equal_retrain_is_kept_back_as_often_as_the_tables_say(
    params: dict[str, Param], n: int, d: float, kept_back: float
) -> None:
    assert found(task(**params), AtHand(n, d)).kept_back == pytest.approx(kept_back, abs=0.011)


def test_the_smallest_harm_shown_is_the_exact_mde_and_more_metrics_need_a_larger_one() -> None:
    alone, of_three = found(task(), AtHand(400, 0.10)), found(task(), AtHand(400, 0.10, family=3))
    assert alone.shown == pytest.approx(0.050, abs=0.001)
    assert of_three.shown == pytest.approx(0.061, abs=0.001)


def test_a_harm_that_is_caught_is_kept_back_by_the_rule_in_four_of_five_runs() -> None:
    refresh = task(preset="refresh")
    caught = found(refresh, AtHand(400)).caught
    assert caught is not None
    rates = verdict_rates(400, 0.05, caught, lambda pairs: decide_pairs(refresh, pairs, 0.9))
    assert 1 - rates[Verdict.PASSED] == pytest.approx(0.80, abs=0.02)


def test_enumeration_agrees_with_drawing() -> None:
    rng, spec = np.random.default_rng(2), task(Rule.MAX_DROP, abs=0.02)
    drawn = rng.multinomial(300, (0.06, 0.03, 0.91), size=4_000)
    verdicts = [decide_pairs(spec, Pairs(300, int(plus), int(minus)), 0.9) for minus, plus, _ in drawn]
    exact = verdict_rates(300, 0.06, 0.03, lambda pairs: decide_pairs(spec, pairs, 0.9))
    for verdict in (Verdict.PASSED, Verdict.INCONCLUSIVE, Verdict.FAILED):
        assert exact[verdict] == pytest.approx(verdicts.count(verdict) / 4_000, abs=0.025)


def test_a_limit_that_falls_with_production_lets_rounding_decide_half_of_the_runs() -> None:
    assert found(task(Rule.ABSOLUTE, min=0.9), AtHand(400)).kept_back == pytest.approx(0.455, abs=0.02)
    assert found(task(Rule.ABSOLUTE, min=0.8), AtHand(400)).kept_back < 0.001


def test_scores_that_are_not_right_or_wrong_use_their_own_spread() -> None:
    spec = GateSpec(GateKind.TASK, "rouge1", Rule.AT_LEAST_PRODUCTION, params={"preset": "refresh"})
    wide, narrow = (found(spec, AtHand(400, graded={"rouge1": v})) for v in (0.10, 0.01))
    assert narrow.kept_back < 0.06 < wide.kept_back
    assert (narrow.shown or 0) < (wide.shown or 0)


@pytest.mark.parametrize(("cases", "flip", "blocked"), [(100, 0.001, 0.095), (100, 0.01, 0.634), (60, 0.0005, 0.0296)])
def test_must_pass_sets_block_equal_models_by_size_and_flip(cases: int, flip: float, blocked: float) -> None:
    spec = GateSpec(GateKind.REGRESSION, "regression", Rule.ALL_PASS)
    odds = found(spec, AtHand(400, must_pass={"regression": cases}, flip=flip))
    assert odds.kept_back == pytest.approx(blocked, abs=0.001)
    assert odds.caught == pytest.approx(1 - 0.2 ** (1 / cases))


def test_latency_odds_agree_with_the_judge_itself() -> None:
    spec = GateSpec(GateKind.LATENCY, "latency_p95", Rule.WITHIN, params={"rel": 0.10, "rounds": 1})
    verdicts, widths = [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        work = rng.uniform(90, 110, 150)
        arms = [tuple((work * np.exp(rng.normal(0, 0.12, 150))).tolist()) for _ in range(2)]
        result = judge(spec, Evidence(latency=LatencyPairs(*arms)))
        verdicts.append(result.verdict)
        widths.append(np.log(float(result.numbers["ratio_high"])) - np.log(float(result.numbers["ratio_low"])))  # type: ignore[arg-type]
    predicted = latency_rates(0.0, float(np.log(1.1)), float(np.mean(widths)) / (2 * 1.96), 1)
    assert predicted[Verdict.PASSED] == pytest.approx(verdicts.count(Verdict.PASSED) / 60, abs=0.13)


def test_what_no_chance_decides_has_no_odds() -> None:
    assert odds_of(GateSpec(GateKind.SIZE, "gguf_bytes", Rule.WITHIN, params={"rel": 0.05}), AtHand(400)) is None
    assert odds_of(task(), AtHand(0)) is None
    assert odds_of(GateSpec(GateKind.SAFETY, "safety", Rule.ALL_PASS), AtHand(400)) is None


def test_several_gates_keep_back_more_than_any_of_them() -> None:
    each = [found(task(preset=preset), AtHand(400)) for preset in ("strict", "refresh")]
    assert combined(each) == pytest.approx(1 - 0.545 * 0.819, abs=0.003)
