"""The canary: slots applied once, minimum evidence, each move with its reason."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from pipelines.domain.canary import (
    Arm,
    CanaryState,
    Guardrail,
    Move,
    Outcome,
    RolloutPlan,
    Step,
    Transport,
    apply_slot,
    begin,
    decide,
    due_slots,
    first_per_key,
    literal_false_rollback_rate,
    next_share_bp,
    next_step,
    readings,
    transport_errors,
)

T0 = datetime(2026, 3, 2, 3, 0, tzinfo=UTC)
PLAN = RolloutPlan()
SLOT = PLAN.slot


def slot_of(number: int, n_c: int, n_b: int, **candidate: float) -> list[Outcome]:
    """One slot's requests of distinct keys, seeded by its number; rates: bad_c, error_c, slow_c."""
    rng = np.random.default_rng(number)
    outcomes = []
    for i in range(n_c + n_b):
        arm, rates = (Arm.CANDIDATE, candidate) if i < n_c else (Arm.PRODUCTION, {})
        at = T0 + number * SLOT + timedelta(milliseconds=int(rng.integers(0, 59_000)))
        latency = 900.0 if rng.random() < rates.get("slow_c", 0.05) else 100.0
        is_error, is_bad = rng.random() < rates.get("error_c", 0.0), rng.random() < rates.get("bad_c", 0.1)
        outcomes.append(Outcome(at, arm, f"{number}-{i}", bool(is_error), latency, bool(is_bad)))
    return outcomes


def after(slots: range, state: CanaryState | None = None, **rates: float) -> CanaryState:
    state = state or begin(T0, slow_limit_ms=500.0)
    for number in slots:
        state = apply_slot(state, PLAN, number, slot_of(number, 2, 18, **rates), frozenset())
    return state


def test_a_slot_counts_once() -> None:
    state = after(range(5))
    again = apply_slot(state, PLAN, 4, slot_of(4, 2, 18), frozenset())
    assert again == state
    assert state.candidate_keys == 10


def test_the_state_is_the_same_one_by_one_through_json_or_at_once() -> None:
    stored = begin(T0, 500.0)
    for number in range(70):
        stored = CanaryState.from_json(json.loads(json.dumps(after(range(number, number + 1), stored).to_json())))
    assert stored == after(range(70))
    assert stored.starts_opened == 1


def test_a_database_that_orders_keys_changes_no_sentence() -> None:
    state = after(range(5))
    stored = CanaryState.from_json(json.loads(json.dumps(state.to_json(), sort_keys=True)))
    assert list(stored.watches) == list(state.watches)


def test_slots_that_lack_an_arm_wait_for_it() -> None:
    state = begin(T0, 500.0)
    state = apply_slot(state, PLAN, 0, slot_of(0, 0, 5), frozenset())
    assert {r.counts.n_b for r in readings(state, PLAN)} == {0}
    state = apply_slot(state, PLAN, 1, slot_of(1, 1, 0), frozenset())
    assert {(r.counts.n_c, r.counts.n_b) for r in readings(state, PLAN)} == {(1, 5)}


def test_a_slot_closes_after_the_request_timeout() -> None:
    state = after(range(2))
    due = due_slots(state, PLAN, T0 + 5 * SLOT + timedelta(seconds=10), timedelta(seconds=30))
    assert [number for number, _, _ in due] == [2, 3]
    assert due[0][1:] == (T0 + 2 * SLOT, T0 + 3 * SLOT)


def test_one_outcome_per_key_and_its_first() -> None:
    late = Outcome(T0 + SLOT, Arm.CANDIDATE, "k", is_error=True)
    early = Outcome(T0, Arm.CANDIDATE, "k")
    other = Outcome(T0, Arm.CANDIDATE, "counted before")
    assert first_per_key([late, early, other], {"counted before"}) == [early]


def test_the_first_answer_after_a_load_is_not_called_slow() -> None:
    cold = Outcome(T0, Arm.CANDIDATE, "a", latency_ms=9_000.0, first_after_load=True)
    warm = Outcome(T0, Arm.CANDIDATE, "b", latency_ms=100.0)
    base = Outcome(T0, Arm.PRODUCTION, "c", latency_ms=100.0)
    state = apply_slot(begin(T0, 500.0), PLAN, 0, [cold, warm, base], frozenset())
    slow = next(r for r in readings(state, PLAN) if r.guardrail is Guardrail.SLOW)
    assert (slow.counts.n_c, slow.counts.x_c) == (1, 0)


def test_before_its_time_a_step_stays_whatever_the_evidence() -> None:
    decision = decide(after(range(100)), PLAN, T0 + timedelta(minutes=100))
    assert decision.move is Move.STAY
    assert decision.sentence.startswith("step 1 (5 %): 1 h 40 min of 2 h")


def test_time_alone_does_not_advance() -> None:
    state = after(range(10))
    decision = decide(state, PLAN, T0 + timedelta(hours=3))
    assert decision.move is Move.STAY
    assert decision.sentence == "step 1 (5 %): 20 of 50 keys on the candidate, about 30 more"


def test_time_and_keys_advance_the_first_step() -> None:
    decision = decide(after(range(30)), PLAN, T0 + timedelta(hours=2))
    assert decision.move is Move.ADVANCE
    assert decision.sentence == "step 1 (5 %): 2 h over, 60 keys, no guardrail fired"


def test_the_second_step_needs_safe_on_all_guardrails() -> None:
    state = next_step(after(range(5)), T0 + timedelta(hours=2))
    assert next_share_bp(state, PLAN) == 10_000
    waiting = decide(state, PLAN, T0 + timedelta(hours=7))
    assert waiting.move is Move.STAY
    assert "not shown to be safe: about" in waiting.sentence
    safe = after(range(120, 420), state)
    assert decide(safe, PLAN, T0 + timedelta(hours=7)).move is Move.ADVANCE


def test_after_24_hours_without_evidence_pairs_and_else_a_person() -> None:
    state, now = after(range(5)), T0 + timedelta(hours=24)
    assert decide(state, PLAN, now, replay_possible=True).move is Move.REPLAY
    held = decide(state, PLAN, now)
    assert held.move is Move.HOLD
    assert "24 h are over without the evidence" in held.sentence


@pytest.mark.parametrize(
    ("rates", "guardrail"),
    [({"bad_c": 0.6}, Guardrail.BAD), ({"error_c": 0.5}, Guardrail.ERROR), ({"slow_c": 0.9}, Guardrail.SLOW)],
)
def test_a_fault_rolls_back_with_its_numbers_even_before_the_timer(
    rates: dict[str, float], guardrail: Guardrail
) -> None:
    decision = decide(after(range(40), **rates), PLAN, T0 + timedelta(minutes=40))
    assert (decision.move, decision.guardrail) == (Move.ROLL_BACK, guardrail)
    assert decision.numbers["evidence"] >= decision.numbers["threshold"]  # type: ignore[operator]
    assert "past the margin" in decision.sentence


def test_a_fault_after_clean_hours_is_found_from_a_later_start() -> None:
    state = after(range(180))
    sick = after(range(180, 240), state, bad_c=0.45)
    decision = decide(sick, PLAN, T0 + timedelta(hours=4))
    assert decision.move is Move.ROLL_BACK
    assert decision.numbers["candidate_n"] < 240  # type: ignore[operator]


def test_an_equal_candidate_is_not_rolled_back() -> None:
    moves = set()
    state = begin(T0, 500.0)
    for number in range(360):
        state = after(range(number, number + 1), state)
        moves.add(decide(state, PLAN, T0 + (number + 1) * SLOT).move)
    assert moves == {Move.STAY, Move.ADVANCE}


def test_evidence_within_the_margin_is_a_notice() -> None:
    state = begin(T0, 500.0)
    watch = state.watches[Guardrail.BAD].after("1" * 400 + "0" * 9_600, "1" * 100 + "0" * 9_900)
    state = replace(state, watches={**state.watches, Guardrail.BAD: watch})
    decision = decide(state, PLAN, T0 + timedelta(minutes=1))
    assert decision.move is Move.STAY
    assert "within the margin" in decision.notices[0].sentence


def errors(arm: Arm, n: int, start_s: int = 0, distinct: bool = True, ok: bool = False) -> list[Outcome]:
    at = [T0 + timedelta(seconds=start_s + i) for i in range(n)]
    return [Outcome(t, arm, f"{arm}-{i if distinct else 0}", is_error=not ok) for i, t in enumerate(at)]


@pytest.mark.parametrize(
    ("recent", "expected", "move"),
    [
        (errors(Arm.CANDIDATE, 4), Transport.FINE, Move.STAY),
        (errors(Arm.CANDIDATE, 5), Transport.CANDIDATE, Move.ROLL_BACK),
        (errors(Arm.CANDIDATE, 9, distinct=False), Transport.FINE, Move.STAY),
        (errors(Arm.CANDIDATE, 5) + errors(Arm.PRODUCTION, 5, ok=True), Transport.CANDIDATE, Move.ROLL_BACK),
        (errors(Arm.CANDIDATE, 5) + errors(Arm.PRODUCTION, 3), Transport.PRODUCTION, Move.HALT),
        (errors(Arm.PRODUCTION, 5), Transport.PRODUCTION, Move.HALT),
        (
            [*errors(Arm.CANDIDATE, 3), Outcome(T0 + timedelta(seconds=3), Arm.CANDIDATE, "fine"),
             *errors(Arm.CANDIDATE, 4, start_s=4)],
            Transport.FINE, Move.STAY,
        ),
    ],
)  # fmt: skip
def test_five_transport_errors_in_a_row_of_distinct_keys(
    recent: list[Outcome], expected: Transport, move: Move
) -> None:
    assert transport_errors(recent) is expected
    assert decide(begin(T0, 500.0), PLAN, T0 + timedelta(minutes=1), recent).move is move


def test_the_literal_rule_needs_no_evidence() -> None:
    state = apply_slot(begin(T0, 500.0), PLAN, 0, slot_of(0, 2, 18, bad_c=1.0), frozenset())
    assert decide(state, PLAN, T0 + SLOT).move is Move.STAY
    literal = decide(state, replace(PLAN, literal=True), T0 + SLOT)
    assert literal.move is Move.ROLL_BACK
    assert "more than 5 % below" in literal.sentence


@pytest.mark.parametrize(("requests", "rate"), [(50, 1.0), (200, 0.83), (500, 0.10)])
def test_the_literal_rule_takes_back_healthy_models_as_often_as_printed(requests: int, rate: float) -> None:
    assert literal_false_rollback_rate(requests, 0.25, 0.90, 50) == pytest.approx(rate, abs=0.02)


@pytest.mark.parametrize(
    "steps",
    [(), (Step(2_500, timedelta(1)), Step(500, timedelta(1))), (Step(10_000, timedelta(hours=1)),),
     (Step(500, timedelta(hours=30)),)],
)  # fmt: skip
def test_a_plan_that_cannot_work_is_refused(steps: tuple[Step, ...]) -> None:
    with pytest.raises(ValueError, match=r"shares|longer"):
        RolloutPlan(steps=steps)
