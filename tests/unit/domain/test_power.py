"""What sets of cases can tell: rows of the exact tables, reproduced by enumeration."""

import numpy as np
import pytest
from scipy import stats

from pipelines.domain.paired import Pairs, mcnemar_p_worse, tango_z
from pipelines.domain.power import all_pass_block_rate, binomial_pmf, power, smallest_detectable_drop, verdict_rates
from pipelines.domain.verdicts import Verdict


def strict(pairs: Pairs) -> Verdict:
    if mcnemar_p_worse(pairs) <= 0.05:
        return Verdict.FAILED
    return Verdict.PASSED if pairs.drop <= 0 else Verdict.INCONCLUSIVE


def refresh(pairs: Pairs, tolerance: float = 0.03) -> Verdict:
    if mcnemar_p_worse(pairs) <= 0.05:
        return Verdict.FAILED
    if tango_z(pairs, tolerance) >= 1.645 or (pairs.n >= 200 and pairs.drop <= 0):
        return Verdict.PASSED
    return Verdict.INCONCLUSIVE


def test_the_binomial_mass_agrees_with_scipy() -> None:
    k = np.arange(0, 301)
    assert binomial_pmf(300, 0.07, k) == pytest.approx(stats.binom.pmf(k, 300, 0.07), abs=1e-13)


@pytest.mark.parametrize(
    ("n", "d", "points"),
    [(200, 0.05, 6.1), (200, 0.10, 7.7), (400, 0.05, 3.8), (400, 0.10, 5.0), (1000, 0.05, 2.2), (1000, 0.10, 2.9)],
)
def test_the_smallest_detectable_drop_is_the_table(n: int, d: float, points: float) -> None:
    drop = smallest_detectable_drop(n, d)
    assert drop is not None
    assert 100 * drop == pytest.approx(points, abs=0.06)
    assert power(n, d, drop) == pytest.approx(0.80, abs=0.001)


@pytest.mark.parametrize(("n", "d", "points"), [(200, 0.05, 7.6), (400, 0.10, 6.1), (1000, 0.05, 2.7)])
def test_the_first_of_three_by_holm_needs_a_larger_drop(n: int, d: float, points: float) -> None:
    assert 100 * (smallest_detectable_drop(n, d, 0.05 / 3) or 0) == pytest.approx(points, abs=0.06)


def test_three_cases_can_tell_nothing() -> None:
    assert smallest_detectable_drop(3, 0.1) is None
    assert smallest_detectable_drop(0, 0.1) is None


@pytest.mark.parametrize(
    ("n", "d", "kept_back"), [(200, 0.05, 0.436), (400, 0.05, 0.455), (1000, 0.05, 0.472), (400, 0.10, 0.468)]
)
def test_strict_keeps_back_an_equal_model_as_often_as_the_table_says(n: int, d: float, kept_back: float) -> None:
    assert 1 - verdict_rates(n, d, 0.0, strict)[Verdict.PASSED] == pytest.approx(kept_back, abs=0.001)


@pytest.mark.parametrize(
    ("n", "d", "drop", "expected"),
    [
        (200, 0.05, 0.00, (0.58, 0.40, 0.02)),
        (200, 0.10, 0.05, (0.04, 0.45, 0.51)),
        (400, 0.05, 0.00, (0.82, 0.15, 0.03)),
        (400, 0.10, 0.02, (0.15, 0.59, 0.27)),
        (400, 0.05, 0.03, (0.05, 0.32, 0.64)),
    ],
)
def test_refresh_gives_the_verdicts_of_the_table(
    n: int, d: float, drop: float, expected: tuple[float, float, float]
) -> None:
    rates = verdict_rates(n, d, drop, refresh)
    found = (rates[Verdict.PASSED], rates[Verdict.INCONCLUSIVE], rates[Verdict.FAILED])
    assert found == pytest.approx(expected, abs=0.0101)


def test_an_equal_model_is_falsely_called_worse_in_2_to_4_percent() -> None:
    for n, d in ((200, 0.05), (400, 0.10)):
        assert 0.022 <= power(n, d, 0.0) <= 0.043


@pytest.mark.parametrize(("flip", "rate"), [(0.001, 0.095), (0.005, 0.39), (0.01, 0.63), (0.025, 0.92)])
def test_must_pass_sets_block_equal_models_as_the_table_says(flip: float, rate: float) -> None:
    assert all_pass_block_rate(100, flip) == pytest.approx(rate, abs=0.006)


def test_half_a_point_needs_twelve_to_twenty_five_thousand_cases() -> None:
    assert 100 * (smallest_detectable_drop(12_000, 0.05) or 0) == pytest.approx(0.54, abs=0.02)
    assert 100 * (smallest_detectable_drop(25_000, 0.10) or 0) == pytest.approx(0.52, abs=0.02)
