"""Paired tests against their oracles, the printed vectors, and the exact tables."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from pipelines.domain.paired import (
    Pairs,
    binomial_tail_half,
    bootstrap_interval,
    holm_adjusted,
    mcnemar_p_better,
    mcnemar_p_worse,
    more_cases,
    randomisation_p,
    score_p_worse,
    sign_flip_p,
    tango_interval,
    tango_z,
)
from pipelines.domain.power import binomial_pmf


@pytest.mark.parametrize("n", [1, 2, 7, 24, 101, 1000, 5000])
def test_the_binomial_tail_agrees_with_scipy(n: int) -> None:
    for k in {0, 1, n // 3, n // 2, n // 2 + 1, (3 * n) // 5, n}:
        assert binomial_tail_half(n, k) == pytest.approx(stats.binom.sf(k - 1, n, 0.5), rel=1e-9, abs=1e-300)


def test_mcnemar_is_one_sided_and_half_of_the_two_sided_p_of_statsmodels() -> None:
    two_sided = mcnemar([[300, 18], [6, 76]], exact=True).pvalue
    assert mcnemar_p_worse(Pairs(400, 6, 18)) == pytest.approx(two_sided / 2)
    assert mcnemar_p_worse(Pairs(400, 6, 18)) == pytest.approx(0.0113, abs=5e-5)
    assert mcnemar_p_better(Pairs(400, 7, 0)) == pytest.approx(1 / 128)


def test_no_discordant_case_is_no_evidence_either_way() -> None:
    assert mcnemar_p_worse(Pairs(100, 0, 0)) == 1.0
    assert mcnemar_p_better(Pairs(100, 0, 0)) == 1.0
    assert tango_z(Pairs(100, 0, 0), 0.0) == 0.0


def test_the_tango_bound_is_the_printed_vector() -> None:
    low, high = tango_interval(Pairs(400, 8, 13))
    assert 100 * high == pytest.approx(3.3, abs=0.05)
    assert low < 5 / 400 < high
    assert more_cases(21 / 400, 400, 5 / 400, 0.03) == 660


@pytest.mark.parametrize(("plus", "minus"), [(0, 0), (8, 13), (0, 12), (12, 0), (50, 50), (1, 0)])
def test_both_tango_bounds_sit_where_the_score_crosses(plus: int, minus: int) -> None:
    pairs = Pairs(200, plus, minus)
    low, high = tango_interval(pairs)
    assert tango_z(pairs, high) == pytest.approx(1.6448536, abs=1e-4)
    assert tango_z(pairs, low) == pytest.approx(-1.6448536, abs=1e-4)
    swapped = tango_interval(pairs.reversed())
    assert swapped == pytest.approx((-high, -low), abs=1e-9)


@pytest.mark.parametrize(("n", "d", "tolerance"), [(100, 0.05, 0.03), (200, 0.10, 0.03), (100, 0.2, 0.05)])
def test_the_tango_bound_errs_in_at_most_5_percent_at_its_boundary(n: int, d: float, tolerance: float) -> None:
    # Enumerated over every (M, P) of a true drop of exactly `tolerance`.
    share, lost = d + tolerance, (d / 2 + tolerance) / (d + tolerance)
    size = 0.0
    for discordant in range(0, min(n, int(n * share * 4)) + 1):
        weight = float(binomial_pmf(n, share, np.array([discordant]))[0])
        minus = np.arange(discordant + 1)
        chances = binomial_pmf(discordant, lost, minus)
        excluded = [tango_z(Pairs(n, discordant - int(m), int(m)), tolerance) >= 1.645 for m in minus]
        size += weight * float(chances[np.array(excluded)].sum())
    assert 0.02 < size <= 0.0515


def test_pairs_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        Pairs(10, 6, 5)


def test_holm_agrees_with_statsmodels() -> None:
    p_values = {"accuracy": 0.012, "rouge": 0.04, "exact": 0.03, "json": 0.9}
    oracle = multipletests(list(p_values.values()), method="holm")[1]
    assert list(holm_adjusted(p_values)[name] for name in p_values) == pytest.approx(list(oracle))
    assert holm_adjusted({}) == {}


def test_the_bootstrap_interval_agrees_with_scipy_and_is_seeded() -> None:
    differences = np.random.default_rng(3).normal(0.02, 0.2, 300)
    low, high = bootstrap_interval(differences)
    oracle = stats.bootstrap((differences,), np.mean, n_resamples=5_000, method="percentile", confidence_level=0.9)
    assert (low, high) == pytest.approx(tuple(oracle.confidence_interval), abs=0.003)
    assert bootstrap_interval(differences) == (low, high)


def test_sign_flips_agree_with_scipys_permutation_test() -> None:
    differences = np.random.default_rng(5).normal(-0.03, 0.2, 80)
    oracle = stats.permutation_test(
        (differences,), np.mean, permutation_type="samples", alternative="less", n_resamples=20_000, rng=1
    )
    assert sign_flip_p(differences) == pytest.approx(oracle.pvalue, abs=0.012)


def test_sign_flips_of_right_or_wrong_cases_are_mcnemar() -> None:
    differences = np.array([1.0] * 6 + [-1.0] * 18 + [0.0] * 376)
    assert sign_flip_p(differences) == pytest.approx(mcnemar_p_worse(Pairs(400, 6, 18)), abs=0.004)


def test_scores_without_a_difference_have_p_1() -> None:
    assert score_p_worse(np.zeros(50)) == 1.0


def test_few_differing_cases_are_not_called_worse_by_the_bootstrap_alone() -> None:
    differences = np.zeros(200)
    differences[:4] = -0.5
    assert score_p_worse(differences) > 0.05


def test_swapping_answers_tells_a_worse_corpus_metric() -> None:
    def share_right(answers: list[str]) -> float:
        return sum(a == "yes" for a in answers) / len(answers)

    worse = ["no"] * 20 + ["yes"] * 80
    better = ["yes"] * 98 + ["no"] * 2
    assert randomisation_p(worse, better, share_right, flips=500) < 0.01
    assert randomisation_p(better, better, share_right, flips=200) == 1.0


@pytest.mark.parametrize(
    ("variance", "n", "drop", "tolerance"), [(0.0, 100, 0.0, 0.03), (0.1, 100, 0.0, 0.0), (0.1, 100, 0.03, 0.03)]
)
def test_no_number_of_cases_is_promised_where_none_would_settle_it(
    variance: float, n: int, drop: float, tolerance: float
) -> None:
    assert more_cases(variance, n, drop, tolerance) is None
