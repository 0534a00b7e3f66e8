"""Paired replay: evidence multiplies, safety is proved without traffic, and each pair counts once."""

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from pipelines.domain.canary import (
    Arm,
    CanaryState,
    Guardrail,
    Move,
    Outcome,
    Pair,
    RolloutPlan,
    after_replay,
    after_shadow,
    apply_pairs,
    begin,
    confirms,
    decide,
    readings,
)

T0 = datetime(2026, 3, 2, 3, 0, tzinfo=UTC)
PLAN = RolloutPlan()


def pairs(count: int, bad_c: float = 0.1, bad_b: float = 0.1, seed: int = 1) -> list[Pair]:
    rng = np.random.default_rng(seed)

    def answer(arm: Arm, rate: float) -> Outcome:
        return Outcome(T0, arm, "", latency_ms=100.0, is_bad=bool(rng.random() < rate))

    return [Pair(answer(Arm.CANDIDATE, bad_c), answer(Arm.PRODUCTION, bad_b)) for _ in range(count)]


def test_an_equal_version_is_shown_to_be_safe_by_pairs_alone() -> None:
    state = apply_pairs(begin(T0, 500.0), pairs(400))
    decision = after_shadow(state, PLAN)
    assert decision.move is Move.ADVANCE
    assert all(reading.is_safe for reading in readings(state, PLAN))
    assert decision.sentence == ("step 0: 400 recent prompts answered by both versions; 10 points worse is excluded")


def test_a_worse_version_never_meets_a_user() -> None:
    state = apply_pairs(begin(T0, 500.0), pairs(400, bad_c=0.3))
    decision = after_shadow(state, PLAN)
    assert (decision.move, decision.guardrail) == (Move.ROLL_BACK, Guardrail.BAD)
    assert decision.numbers["candidate_n"] == 400, "the point estimate is that of the pairs"
    assert "past the margin" in decision.sentence


def test_few_pairs_leave_the_rest_to_live_traffic() -> None:
    state = apply_pairs(begin(T0, 500.0), pairs(20))
    decision = after_shadow(state, PLAN)
    assert decision.move is Move.ADVANCE
    assert not decision.numbers["is_safe"]
    assert "live traffic must show the rest" in decision.sentence


def test_pairs_at_once_or_in_parts_through_json_give_the_same_state() -> None:
    found = pairs(60)
    at_once = apply_pairs(begin(T0, 500.0), found)
    state = begin(T0, 500.0)
    for start in range(0, 60, 7):
        state = apply_pairs(CanaryState.from_json(json.loads(json.dumps(state.to_json()))), found[start : start + 7])
    assert state == at_once
    assert state.pairs == 60


def test_a_rollout_stored_before_there_were_pairs_is_still_read() -> None:
    data = begin(T0, 500.0).to_json()
    del data["pairs"]
    for watch in data["watches"].values():
        del watch["harm"], watch["pairs"]
    assert CanaryState.from_json(data) == begin(T0, 500.0)


def test_an_answer_that_one_guardrail_cannot_judge_counts_for_the_others() -> None:
    good = Outcome(T0, Arm.PRODUCTION, "", latency_ms=100.0, is_bad=False)
    failed = Outcome(T0, Arm.CANDIDATE, "", is_error=True)
    state = apply_pairs(begin(T0, 500.0), [Pair(failed, good)])
    assert [state.watches[g].pairs.n_c for g in (Guardrail.ERROR, Guardrail.BAD, Guardrail.SLOW)] == [1, 0, 0]


def test_pairs_settle_a_step_that_its_traffic_cannot() -> None:
    state = begin(T0, 500.0)
    late = T0 + timedelta(hours=25)
    assert decide(state, PLAN, late, replay_possible=True).move is Move.REPLAY
    assert decide(state, PLAN, late, replay_possible=False).move is Move.HOLD
    assert decide(apply_pairs(state, pairs(400)), PLAN, late, replay_possible=True).move is Move.ADVANCE


def test_a_spent_replay_ends_with_a_person() -> None:
    worse, better, alike = pairs(40, 1.0, 0.0), pairs(18, 0.0, 1.0), pairs(342, 0.0, 0.0)
    undecided = [(worse + better + alike)[n * 141 % 400] for n in range(400)]
    state = apply_pairs(begin(T0, 500.0), undecided)
    assert not all(reading.is_safe for reading in readings(state, PLAN))
    assert decide(state, PLAN, T0 + timedelta(hours=25), replay_possible=True).move is Move.HOLD


def test_step_1_begins_when_the_pairs_are_through() -> None:
    state = after_replay(apply_pairs(begin(T0, 500.0), pairs(50)), T0 + timedelta(minutes=9))
    assert state.began_at == state.step_began_at == T0 + timedelta(minutes=9)
    assert state.pairs == 50


@pytest.mark.parametrize(("bad_c", "agrees"), [(0.1, False), (0.25, True)])
def test_pairs_tell_a_worse_model_from_other_traffic(bad_c: float, agrees: bool) -> None:
    found, words = confirms(Guardrail.BAD, pairs(300, bad_c=bad_c), 500.0)
    assert found is agrees
    assert words.startswith("300 pairs: bad output 0.")


def test_no_pairs_confirm_nothing() -> None:
    assert confirms(Guardrail.BAD, [], 500.0)[0] is False
