"""The e-process and the bet: vectors, the oracle, validity by enumeration, and small simulations of the tables."""

import json
from math import comb, exp, log

import numpy as np
import pytest
from scipy import stats

from pipelines.domain.eprocess import (
    GRID_MODERATE,
    GRID_RARE,
    Bet,
    EProcess,
    Slot,
    dealt_differences,
    log_e,
)


@pytest.mark.parametrize(
    ("slot", "ratio", "expected"),
    [
        (Slot(10, 4, 190, 19), 2.1, 1.798188),
        (Slot(10, 4, 190, 19), 3.5, 2.568723),
        (Slot(1, 1, 19, 1), 3.5, 1.029619),
    ],
)
def test_the_printed_vectors(slot: Slot, ratio: float, expected: float) -> None:
    assert log_e(slot, ratio) == pytest.approx(expected, abs=5e-7)


@pytest.mark.parametrize("slot", [Slot(10, 4, 190, 19), Slot(3, 0, 50, 5), Slot(40, 39, 5, 1), Slot(200, 30, 800, 70)])
@pytest.mark.parametrize("ratio", [1.4, 8.0, 64.0])
def test_it_agrees_with_scipys_noncentral_hypergeometric(slot: Slot, ratio: float) -> None:
    total, bad = slot.n_c + slot.n_b, slot.x_c + slot.x_b
    oracle = stats.nchypergeom_fisher.logpmf(slot.x_c, total, bad, slot.n_c, ratio) - stats.hypergeom.logpmf(
        slot.x_c, total, bad, slot.n_c
    )
    assert log_e(slot, ratio) == pytest.approx(oracle, abs=1e-9)


def test_one_candidate_request_needs_no_sum_and_agrees_with_it() -> None:
    def by_sum(slot: Slot, ratio: float) -> float:
        bad, total = slot.x_c + slot.x_b, slot.n_c + slot.n_b
        z = sum(comb(1, k) * comb(slot.n_b, bad - k) * ratio**k for k in (0, 1)) / comb(total, bad)
        return slot.x_c * log(ratio) - log(z)

    for slot in (Slot(1, 1, 19, 1), Slot(1, 0, 19, 7), Slot(1, 0, 1, 1)):
        assert log_e(slot, 3.5) == pytest.approx(by_sum(slot, 3.5))


@pytest.mark.parametrize("slot", [Slot(5, 0, 9, 0), Slot(5, 5, 9, 9), Slot(0, 0, 9, 3), Slot(5, 2, 0, 0)])
def test_a_stratum_without_contrast_says_nothing(slot: Slot) -> None:
    assert log_e(slot, 8.0) == 0.0


@pytest.mark.parametrize("ratio", GRID_MODERATE)
def test_its_expectation_is_1_when_both_arms_are_alike_and_below_when_the_candidate_is_better(ratio: float) -> None:
    n_c, n_b, bad = 6, 20, 7
    x = np.arange(0, n_c + 1)
    e_values = np.array([exp(log_e(Slot(n_c, int(k), n_b, bad - int(k)), ratio)) for k in x])
    alike = stats.hypergeom.pmf(x, n_c + n_b, bad, n_c)
    better = stats.nchypergeom_fisher.pmf(x, n_c + n_b, bad, n_c, 0.7)
    assert float(alike @ e_values) == pytest.approx(1.0)
    assert float(better @ e_values) < 1.0


def test_counts_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="more bad"):
        Slot(1, 2, 3, 0)


SLOTS = [Slot(3, 1, 40, 4), Slot(0, 0, 12, 1), Slot(2, 0, 0, 0), Slot(5, 3, 60, 5), Slot(1, 1, 20, 2)]


def test_slots_without_both_arms_are_merged_into_the_next() -> None:
    merged = EProcess(GRID_MODERATE).opened().after(Slot(0, 0, 12, 1)).after(Slot(2, 0, 0, 0))
    whole = EProcess(GRID_MODERATE).opened().after(Slot(2, 0, 12, 1))
    assert merged == whole


def test_the_state_survives_json_after_every_slot() -> None:
    straight = EProcess(GRID_MODERATE).opened()
    stored = straight
    for i, slot in enumerate(SLOTS):
        if i == 2:
            straight, stored = straight.opened(), stored.opened()
        straight = straight.after(slot)
        stored = EProcess.from_json(json.loads(json.dumps(stored.after(slot).to_json())))
    assert stored == straight
    assert len(stored.starts) == 2


def test_a_late_fault_is_read_from_the_start_that_saw_it() -> None:
    process = EProcess(GRID_MODERATE).opened()
    for _ in range(40):
        process = process.after(Slot(10, 1, 30, 3))
    buried = process
    process = process.opened()
    for _ in range(12):
        process, buried = process.after(Slot(10, 4, 30, 3)), buried.after(Slot(10, 4, 30, 3))
    assert process.strongest == Slot(120, 48, 360, 36)
    assert process.log_evidence > buried.log_evidence


def test_no_start_is_no_evidence() -> None:
    assert EProcess(GRID_RARE).log_evidence == float("-inf")
    assert EProcess(GRID_RARE).strongest == Slot()


def _requests_until(rng: np.random.Generator, good_c: float, good_b: float, share: float, threshold: float) -> int:
    """Candidate requests until E >= threshold, five to a slot."""
    process, requests = EProcess(GRID_MODERATE).opened(), 0
    n_b = round(5 * (1 - share) / share)
    while process.log_evidence < log(threshold) and requests < 2_000:
        slot = Slot(5, int(rng.binomial(5, 1 - good_c)), n_b, int(rng.binomial(n_b, 1 - good_b)))
        process, requests = process.after(slot), requests + 5
    return requests


@pytest.mark.parametrize(("share", "median"), [(0.05, 55), (0.25, 75)])
def test_a_drop_of_20_points_is_found_as_soon_as_the_table_says(share: float, median: int) -> None:
    rng = np.random.default_rng(7)
    # The start is one of possibly many: pi_1 = 1/2 is part of E.
    found = [_requests_until(rng, 0.70, 0.90, share, 400) for _ in range(120)]
    assert np.median(found) == pytest.approx(median, rel=0.2)


def test_two_equal_arms_hardly_ever_reach_the_threshold_however_often_one_looks() -> None:
    rng, crossed = np.random.default_rng(11), 0
    for _ in range(150):
        process = EProcess(GRID_MODERATE).opened()
        base = 0.10
        for _ in range(72):
            base = min(0.4, max(0.02, base + float(rng.normal(0, 0.01))))  # drift is conditioned away
            process = process.after(Slot(5, int(rng.binomial(5, base)), 40, int(rng.binomial(40, base))))
            if process.log_evidence >= log(20):
                crossed += 1
                break
    assert crossed <= 12  # Ville: at most 5 % of 150 in expectation


def test_a_safe_bet_never_gains_where_the_true_difference_is_at_the_tolerance() -> None:
    # One pair: P(Z=1)=.15, P(Z=-1)=.05, so E[Z] = .10 exactly.
    bet = Bet.safe(0.10)
    for i in range(len(bet.lambdas)):
        expected = sum(p * exp(bet.after([z]).log_wealth[i]) for p, z in ((0.15, 1.0), (0.05, -1.0), (0.80, 0.0)))
        assert expected == pytest.approx(1.0)


def test_a_harm_bet_never_gains_between_equals() -> None:
    for i in range(5):
        expected = sum(0.5 * exp(Bet.harm().after([z]).log_wealth[i]) for z in (1.0, -1.0))
        assert expected == pytest.approx(1.0)


def test_forty_clean_outcomes_are_safe_within_10_points() -> None:
    bet, outcomes = Bet.safe(0.10), 0
    while bet.log_evidence < log(20):
        bet, outcomes = bet.after([0.0]), outcomes + 1
    assert 30 <= outcomes <= 42  # the table: about 40 at a base rate of .1 %


def test_the_estimate_of_what_is_missing_shrinks_to_0() -> None:
    bet = Bet.safe(0.10)
    assert bet.more_outcomes(20) == 100  # ln 20 / .03
    assert Bet.safe(0.10).after([0.0] * 25).more_outcomes(20) in range(5, 20)
    assert bet.after([0.0] * 60).more_outcomes(20) == 0
    assert bet.after([1.0] * 60).more_outcomes(20) is None


def test_outcomes_one_by_one_or_at_once_and_through_json_are_the_same() -> None:
    differences = [0.0, 1.0, -0.2, 0.5, 0.0, -1.0]
    stored = Bet.safe(0.05)
    for z in differences:
        stored = Bet.from_json(json.loads(json.dumps(stored.after([z]).to_json())))
    assert stored == Bet.safe(0.05).after(differences)


def test_baseline_requests_are_dealt_once_round_robin() -> None:
    assert dealt_differences([True, False], [True, False, False, False, True]) == pytest.approx([1 - 2 / 3, 0.0])
    assert dealt_differences([True, True, False], [False]) == [1.0]
    assert dealt_differences([True], []) == []
