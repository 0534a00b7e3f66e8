"""The monitor: its looks, the frozen deck, and how it ends."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from pipelines.domain.canary import Arm, Guardrail, Outcome
from pipelines.domain.eprocess import Slot
from pipelines.domain.monitor import (
    MonitorMove,
    MonitorPlan,
    MonitorState,
    Replay,
    apply_slot,
    begin,
    check_times,
    count_slot,
    decide,
    deck_windows,
    readings,
)

T0 = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
PLAN = MonitorPlan()


def counts(number: int, bad_c: float = 0.1, n_c: int = 20) -> dict[Guardrail, Slot]:
    rng = np.random.default_rng(number)

    def slot(rate_c: float, rate_b: float) -> Slot:
        return Slot(n_c, int(rng.binomial(n_c, rate_c)), 140, int(rng.binomial(140, rate_b)))

    return {Guardrail.ERROR: slot(0.001, 0.001), Guardrail.SLOW: slot(0.05, 0.05), Guardrail.BAD: slot(bad_c, 0.1)}


def after(slots: int, bad_c: float = 0.1, n_c: int = 20) -> MonitorState:
    state = begin(T0)
    for number in range(slots):
        state = apply_slot(state, PLAN, number, counts(number, bad_c, n_c))
    return state


def test_it_looks_50_times_in_24_hours() -> None:
    times = check_times(PLAN, T0)
    assert len(times) == 50
    assert times[11] == T0 + timedelta(hours=1)
    assert times[31] == T0 + timedelta(hours=6)
    assert times[-1] == T0 + timedelta(hours=24) == T0 + PLAN.duration


def test_a_shortened_monitor_looks_as_often() -> None:
    quick = PLAN.scaled(1 / 1200)
    assert quick.duration == timedelta(seconds=72)
    assert len(check_times(quick, T0)) == 50


@pytest.mark.parametrize("hours", [0, 6, 23, 30])
def test_the_deck_is_the_same_clock_slot_of_the_week_before_the_rollout(hours: int) -> None:
    start = T0 + timedelta(hours=hours)
    windows = deck_windows(T0, start)
    assert len(set(windows)) == 7
    assert all(T0 - timedelta(days=7) <= w < T0 for w in windows)
    assert {w.time() for w in windows} == {start.time()}


def test_live_outcomes_are_counted_per_guardrail() -> None:
    outcomes = [
        Outcome(T0, Arm.CANDIDATE, "a", latency_ms=700.0, is_bad=False),
        Outcome(T0, Arm.CANDIDATE, "b", is_error=True),
        Outcome(T0, Arm.CANDIDATE, "c", latency_ms=100.0, is_bad=True),
    ]
    assert count_slot(outcomes, 500.0) == {Guardrail.ERROR: (3, 1), Guardrail.SLOW: (2, 1), Guardrail.BAD: (2, 1)}


def test_a_slot_counts_once_and_the_state_survives_json() -> None:
    stored = begin(T0)
    for number in range(20):
        stored = apply_slot(stored, PLAN, number, counts(number))
        stored = MonitorState.from_json(json.loads(json.dumps(stored.to_json())))
        stored = apply_slot(stored, PLAN, number, counts(number))
    assert stored == after(20)


def test_a_database_that_orders_keys_changes_no_sentence() -> None:
    state = after(5)
    stored = MonitorState.from_json(json.loads(json.dumps(state.to_json(), sort_keys=True)))
    assert list(stored.watches) == list(state.watches)


def test_a_worse_model_is_rolled_back_when_no_replay_is_possible() -> None:
    decision = decide(after(30, bad_c=0.3), PLAN, T0 + timedelta(hours=3))
    assert (decision.move, decision.guardrail) == (MonitorMove.ROLL_BACK, Guardrail.BAD)
    assert decision.sentence.endswith("past the margin; replay impossible")


@pytest.mark.parametrize(
    ("replay", "move"),
    [
        (Replay.POSSIBLE, MonitorMove.CONFIRM),
        (Replay.AGREES, MonitorMove.ROLL_BACK),
        (Replay.DISAGREES, MonitorMove.CONTINUE),
    ],
)
def test_pairs_confirm_or_contradict_the_deck(replay: Replay, move: MonitorMove) -> None:
    decision = decide(after(30, bad_c=0.3), PLAN, T0 + timedelta(hours=3), replay=replay)
    assert decision.move is move
    assert ("the traffic changed" in "".join(n.sentence for n in decision.notices)) == (replay is Replay.DISAGREES)


def test_two_baselines_double_the_thresholds() -> None:
    one, two = readings(after(1), PLAN), readings(after(1), replace(PLAN, baselines=2))
    assert np.exp(two[2].log_threshold) == pytest.approx(800)
    assert np.exp(one[2].log_threshold) == pytest.approx(400)


def test_a_healthy_model_ends_the_day_with_enough_evidence() -> None:
    state = after(288)
    assert decide(state, PLAN, T0 + timedelta(hours=23)).move is MonitorMove.CONTINUE
    decision = decide(state, PLAN, T0 + timedelta(hours=24))
    assert (decision.move, decision.is_conclusive) == (MonitorMove.END, True)


def test_a_quiet_day_ends_labelled_without_enough_evidence() -> None:
    decision = decide(after(3), PLAN, T0 + timedelta(hours=24))
    assert (decision.move, decision.is_conclusive) == (MonitorMove.END, False)
    assert "without enough evidence on" in decision.sentence


def test_no_baseline_never_fires() -> None:
    state = begin(T0)
    for number in range(50):
        state = apply_slot(state, PLAN, number, {Guardrail.BAD: Slot(20, 20, 0, 0)})
    assert decide(state, PLAN, T0 + timedelta(hours=5)).move is MonitorMove.CONTINUE


def test_transport_errors_do_not_wait_for_a_slot() -> None:
    recent = [Outcome(T0 + timedelta(seconds=i), Arm.CANDIDATE, str(i), is_error=True) for i in range(5)]
    assert decide(begin(T0), PLAN, T0 + timedelta(minutes=1), recent).move is MonitorMove.ROLL_BACK


@pytest.mark.parametrize(
    ("since", "move"),
    [
        ("ok ok ok ok ok", MonitorMove.CONTINUE),
        ("ok ok ok ok", MonitorMove.ROLL_BACK),
        ("ok ok ok ok ok error", MonitorMove.ROLL_BACK),
    ],
)
def test_a_host_that_answers_again_takes_no_version_back(since: str, move: MonitorMove) -> None:
    words = ["error"] * 5 + since.split()
    recent = [
        Outcome(T0 + timedelta(seconds=i), Arm.CANDIDATE, str(i), is_error=word == "error")
        for i, word in enumerate(words)
    ]
    assert decide(begin(T0), PLAN, T0 + timedelta(minutes=1), recent).move is move


def test_the_literal_rule_fires_on_the_last_slot() -> None:
    state = apply_slot(begin(T0), PLAN, 0, {Guardrail.BAD: Slot(10, 2, 100, 10)})
    assert decide(state, PLAN, T0 + timedelta(minutes=5)).move is MonitorMove.CONTINUE
    assert decide(state, replace(PLAN, literal=True), T0 + timedelta(minutes=5)).move is MonitorMove.ROLL_BACK
