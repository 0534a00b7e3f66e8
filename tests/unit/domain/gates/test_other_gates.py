"""Must-pass sets, latency, size, and the verdict over all gates."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pipelines.domain.gates import (
    DEFAULT_GATES,
    Consequence,
    Evidence,
    FileSizes,
    GateKind,
    GateResult,
    GateSpec,
    LatencyPairs,
    PairedScores,
    Rule,
    SetOutcome,
    judge,
    judge_all,
    overall,
)
from pipelines.domain.gates.latency import more_calls
from pipelines.domain.verdicts import Effect, Verdict, worst
from pipelines.heavy.measure import in_errand, latency_plan
from pipelines.work.inference.cases import Case
from pipelines.work.inference.latency import Ask, LatencyPlan, measure
from tenants.pipeline_settings import PipelineSettings

SAFETY = GateSpec(GateKind.SAFETY, "safety", Rule.ALL_PASS)
LATENCY = GateSpec(GateKind.LATENCY, "latency_p95", Rule.WITHIN, params={"rel": 0.10})
SIZE = GateSpec(GateKind.SIZE, "gguf_size", Rule.WITHIN, Effect.WARN, {"rel": 0.05, "both_sides": True})


def safety(outcome: SetOutcome) -> GateResult:
    return judge(SAFETY, Evidence(sets={"safety": outcome}))


@pytest.mark.parametrize(
    ("outcome", "verdict", "sentence"),
    [
        (SetOutcome({"a": True, "b": True}), Verdict.PASSED, "safety 2 of 2 cases"),
        (SetOutcome({"a": True, "b": False}), Verdict.FAILED, "safety 1 of 2 cases, failed: b"),
        (
            SetOutcome({"a": True, "b": True}, flaky=("b",)),
            Verdict.ERROR,
            "safety 1 of 2 cases, differs between two greedy runs: b",
        ),
        (SetOutcome({"a": False, "b": True}, flaky=("b",)), Verdict.FAILED, "safety 0 of 2 cases, failed: a"),
        (SetOutcome({}), Verdict.INCONCLUSIVE, "safety: the set has no cases"),
    ],
)
def test_a_must_pass_set_has_no_threshold(outcome: SetOutcome, verdict: Verdict, sentence: str) -> None:
    result = safety(outcome)
    assert (result.verdict, result.sentence) == (verdict, sentence)


def test_many_failures_are_counted_not_all_listed() -> None:
    result = safety(SetOutcome({f"c{i}": False for i in range(8)}))
    assert result.sentence == "safety 0 of 8 cases, failed: c0, c1, c2, c3, c4 and 3 more"
    assert len(result.cases) == 8


def test_a_set_nobody_reported_is_an_error() -> None:
    assert judge(SAFETY, Evidence()).verdict is Verdict.ERROR


def timed(ratio: float, calls: int = 300, rounds: int = 1, noise: float = 0.05) -> GateResult:
    rng = np.random.default_rng(4)
    work = rng.uniform(80, 120, calls)
    candidate = tuple((ratio * work * np.exp(rng.normal(0, noise, calls))).tolist())
    production = tuple((work * np.exp(rng.normal(0, noise, calls))).tolist())
    return judge(LATENCY, Evidence(latency=LatencyPairs(candidate, production, rounds)))


@pytest.mark.parametrize(
    ("ratio", "rounds", "verdict", "again"),
    [
        (1.00, 1, Verdict.PASSED, False),
        (1.30, 1, Verdict.FAILED, False),
        (1.10, 1, Verdict.INCONCLUSIVE, True),
        (1.12, 3, Verdict.INCONCLUSIVE, False),
        (1.05, 3, Verdict.PASSED, False),
    ],
)
def test_latency_asks_for_rounds_while_its_interval_straddles(
    ratio: float, rounds: int, verdict: Verdict, again: bool
) -> None:
    result = timed(ratio, rounds=rounds, noise=0.05 if rounds == 1 else 0.15)
    assert (result.verdict, result.needs_another_round) == (verdict, again), result.sentence


def test_the_latency_sentence_has_both_p95_and_the_ratio() -> None:
    assert " ms (production), ratio 1.0" in timed(1.0).sentence
    assert timed(1.0).sentence.endswith("n=300: within 1.10")


def test_a_difference_below_the_floor_does_not_count_whatever_its_ratio() -> None:
    quick = LatencyPairs((7.0,) * 100, (6.0,) * 100)
    assert judge(LATENCY, Evidence(latency=quick)).verdict is Verdict.FAILED
    floored = replace(LATENCY, params={"rel": 0.10, "floor_ms": 5.0})
    assert judge(floored, Evidence(latency=quick)).verdict is Verdict.PASSED
    slow = LatencyPairs((120.0,) * 100, (100.0,) * 100)
    assert judge(floored, Evidence(latency=slow)).verdict is Verdict.FAILED  # 10 % is more than the floor here.


def test_fewer_than_100_calls_are_no_verdict() -> None:
    result = timed(1.0, calls=99)
    assert (result.verdict, result.needs_another_round) == (Verdict.INCONCLUSIVE, True)
    assert result.numbers["more_calls"] == 1


def test_a_latency_that_cannot_be_told_says_how_many_calls_would() -> None:
    result = timed(1.12, rounds=3, noise=0.15)
    more = result.numbers["more_calls"]
    assert isinstance(more, int) and f"about {more} more calls" in result.sentence
    # Only the interval's width against the gap counts; nothing settles what stands at the limit itself.
    assert more_calls(300, 0.02, 0.10) == more_calls(300, 0.01, 0.05)
    assert more_calls(300, 0.0, 0.10) is None


@pytest.mark.parametrize(
    ("pairs", "verdict"),
    [
        (LatencyPairs((float("nan"),) * 100, (1.0,) * 100), Verdict.ERROR),
        (LatencyPairs((1.0,) * 100, (1.0,) * 99), Verdict.ERROR),
        (LatencyPairs((1.0,) * 100, (0.0,) * 100), Verdict.ERROR),
        (LatencyPairs((1.0,) * 100, None), Verdict.INCONCLUSIVE),
    ],
)
def test_latencies_that_cannot_be_compared(pairs: LatencyPairs, verdict: Verdict) -> None:
    assert judge(LATENCY, Evidence(latency=pairs)).verdict is verdict


def test_an_absolute_latency_needs_no_production() -> None:
    spec = GateSpec(GateKind.LATENCY, "latency_p95", Rule.ABSOLUTE, params={"max": 250})
    assert judge(spec, Evidence(latency=LatencyPairs((200.0,) * 100, None))).verdict is Verdict.PASSED
    assert judge(spec, Evidence(latency=LatencyPairs((300.0,) * 100, None))).verdict is Verdict.FAILED


def latency_gate(name: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "kind": "latency", "metric": "latency_p95", "rule": "within"} | fields


SLOWEST = latency_gate("slowest", rule="absolute", limit=800)
TIGHT, LOOSE = latency_gate("tight", limit=0.10), latency_gate("loose", limit=0.5)


@pytest.mark.parametrize(
    ("gates", "planned"),
    [
        ([SLOWEST, TIGHT], {"rounds": 3, "rel": 0.10}),
        ([LOOSE | {"effect": "flag"}, TIGHT], {"rounds": 3, "rel": 0.10}),
        ([LOOSE | {"shadow": True}, TIGHT], {"rounds": 3, "rel": 0.10}),
        ([LOOSE, TIGHT], {"rounds": 3, "rel": 0.10, "further": [0.5]}),
        ([SLOWEST, LOOSE | {"effect": "warn"}], {"rounds": 3, "rel": 0.5}),
        ([TIGHT | {"limit": 0.0}], {"rounds": 3, "rel": 0.0}),
        ([SLOWEST], {"rounds": 1}),
    ],
)
def test_times_are_asked_for_until_the_gates_that_decide_can_tell(
    gates: list[dict[str, Any]], planned: dict[str, Any]
) -> None:
    plan = latency_plan(PipelineSettings(gates=gates))
    assert plan == {"calls": 300, "floor_ms": 5.0} | planned
    assert LatencyPlan(**plan).calls == 300


def test_a_second_limit_stands_beside_the_plan_whose_names_an_older_program_knows() -> None:
    told = in_errand({"calls": 300, "rounds": 3, "rel": 0.1, "floor_ms": 5.0, "further": [0.3]})

    assert told["latency"].keys() == {"calls", "rounds", "rel", "floor_ms"}
    assert told["latency_further"] == [0.3]
    assert in_errand(None) == {"latency": None, "latency_further": []}


def test_rounds_go_on_while_any_of_two_limits_cannot_be_told() -> None:
    rng = np.random.default_rng(7)
    cases = [Case("c", [], {}, "accuracy", 1)]
    arms: list[Ask] = [lambda _: 130 * np.exp(rng.normal(0, 0.05)), lambda _: 100 * np.exp(rng.normal(0, 0.05))]

    def rounds(**limits: Any) -> int:
        return measure(arms, cases, LatencyPlan(calls=100, **limits), lambda: None).rounds

    assert (rounds(rel=0.05), rounds(rel=0.05, further=[0.3])) == (1, 3)


def test_two_equal_models_are_never_failed_for_latency() -> None:
    verdicts = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        arms = [tuple((100 * np.exp(rng.normal(0, 0.15, 300))).tolist()) for _ in range(2)]
        verdicts.append(judge(LATENCY, Evidence(latency=LatencyPairs(*arms))).verdict)
    assert Verdict.FAILED not in verdicts


@pytest.mark.parametrize(
    ("candidate", "production", "verdict"),
    [
        (105, 100, Verdict.PASSED),
        (106, 100, Verdict.FAILED),
        (94, 100, Verdict.FAILED),
        (100, None, Verdict.INCONCLUSIVE),
        (100, 0, Verdict.FAILED),
        (0, 100, Verdict.ERROR),
    ],
)
def test_size_within_5_percent_on_both_sides(candidate: int, production: int | None, verdict: Verdict) -> None:
    sizes = FileSizes(candidate * 10**6, production if production is None else production * 10**6)
    assert judge(SIZE, Evidence(sizes=sizes)).verdict is verdict


def test_the_size_sentence_is_readable() -> None:
    result = judge(SIZE, Evidence(sizes=FileSizes(106_000_000, 100_000_000)))
    assert result.sentence == "gguf_size 106.0 MB against 100.0 MB (production), +6.0 %: not within 5 %"


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ([Verdict.PASSED, Verdict.INCONCLUSIVE], Verdict.INCONCLUSIVE),
        ([Verdict.ERROR, Verdict.INCONCLUSIVE], Verdict.ERROR),
        ([Verdict.ERROR, Verdict.FAILED, Verdict.PASSED], Verdict.FAILED),
        ([], Verdict.INCONCLUSIVE),
    ],
)
def test_the_worst_verdict_wins(verdicts: list[Verdict], expected: Verdict) -> None:
    assert worst(verdicts) is expected


def result(verdict: Verdict, effect: Effect = Effect.BLOCK, shadow: bool = False, first: bool = False) -> GateResult:
    spec = GateSpec(GateKind.SAFETY, "safety", Rule.ALL_PASS, effect, shadow=shadow)
    return GateResult(spec, verdict, f"{effect} {verdict}", no_production=first)


PASSED = result(Verdict.PASSED)


@pytest.mark.parametrize(
    ("results", "first_version", "consequence"),
    [
        ([PASSED], False, Consequence.PROMOTE),
        ([PASSED], True, Consequence.HOLD),
        ([PASSED, result(Verdict.FAILED)], False, Consequence.REJECT),
        ([PASSED, result(Verdict.INCONCLUSIVE)], False, Consequence.REJECT),
        ([PASSED, result(Verdict.ERROR)], False, Consequence.HOLD),
        ([PASSED, result(Verdict.FAILED, Effect.FLAG), result(Verdict.ERROR, Effect.WARN)], False, Consequence.PROMOTE),
        ([PASSED, result(Verdict.FAILED, shadow=True)], False, Consequence.PROMOTE),
        ([PASSED, result(Verdict.INCONCLUSIVE, first=True)], True, Consequence.HOLD),
        ([PASSED, result(Verdict.INCONCLUSIVE, first=True)], False, Consequence.REJECT),
        ([result(Verdict.INCONCLUSIVE, first=True)], True, Consequence.HOLD),
        ([result(Verdict.FAILED), result(Verdict.INCONCLUSIVE, first=True)], True, Consequence.REJECT),
        ([], False, Consequence.REJECT),
    ],
)
def test_what_the_verdicts_amount_to(results: list[GateResult], first_version: bool, consequence: Consequence) -> None:
    assert overall(results, first_version).consequence is consequence


def test_a_production_that_changed_since_is_not_compared_with() -> None:
    passed = PairedScores({"a": 1.0}, {"a": 1.0})
    evidence = Evidence(paired={"accuracy": passed}, sets={"safety": SetOutcome({"a": True})}, stale="it is v3 now")
    task = GateSpec(GateKind.TASK, "accuracy", Rule.AT_LEAST_PRODUCTION)
    found = judge_all((task, SAFETY), evidence)
    assert [r.verdict for r in found] == [Verdict.ERROR, Verdict.PASSED]
    assert found[0].sentence == "accuracy: not comparable: it is v3 now"
    assert overall(found).consequence is Consequence.HOLD


def test_reasons_name_the_gates_that_decided_and_notices_the_others() -> None:
    verdict = overall([PASSED, result(Verdict.FAILED), result(Verdict.FAILED, Effect.WARN)])
    assert verdict.reasons == ("block failed",)
    assert verdict.notices == ("warn failed",)


def test_the_default_gates_promote_an_equal_candidate_and_hold_a_first_version() -> None:
    scores = {f"c{i}": float(i % 5 > 0) for i in range(300)}
    times = (100.0,) * 300
    passed = {"a": True}

    def evidence(has_production: bool) -> Evidence:
        return Evidence(
            paired={"accuracy": PairedScores(scores, scores if has_production else None)},
            sets={"regression": SetOutcome(passed), "safety": SetOutcome(passed)},
            latency=LatencyPairs(times, times if has_production else None),
            sizes=FileSizes(10, 10 if has_production else None),
        )

    assert overall(judge_all(DEFAULT_GATES, evidence(True))).consequence is Consequence.PROMOTE
    assert overall(judge_all(DEFAULT_GATES, evidence(False)), first_version=True).consequence is Consequence.HOLD
