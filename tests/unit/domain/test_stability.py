"""Stable cases: which are admitted, what they cost, which ones are suggested."""

from __future__ import annotations

import pytest

from pipelines.domain.stability import FlipRate, History, balanced, flip_rate


def history(key: str, *retrains: bool, production: bool = True, group: str = "g") -> History:
    return History(key, group, production, {f"v{n}": right for n, right in enumerate(retrains)})


@pytest.mark.parametrize(
    ("one", "admitted"),
    [
        (history("a", True, True, True), True),
        (history("a", True, True), False),
        (history("a", True, True, True, production=False), False),
        (history("a", True, True, True, False), False),
    ],
)
def test_a_case_is_admitted_when_production_and_three_retrains_were_right(one: History, admitted: bool) -> None:
    assert one.is_admitted is admitted


def test_the_flip_rate_leaves_one_retrain_out() -> None:
    steady = [history(str(n), True, True, True, True) for n in range(9)]
    shaky = history("x", True, True, True, False)

    found = flip_rate([*steady, shaky])

    # Each of four retrains is tested on the nine; the shaky case is admitted only while its loser is left out.
    assert (found.flips, found.seen) == (1, 4 * 9 + 1)


def test_three_retrains_leave_nothing_to_test_by() -> None:
    found = flip_rate([history("a", True, True, True)])

    assert found.rate is None and found.block_rate(100) is None and found.high is None


def test_a_case_that_never_flipped_yet_may_still_do_so() -> None:
    assert FlipRate(0, 99).rate == pytest.approx(0.005)
    assert FlipRate(0, 99).block_rate(50) == pytest.approx(1 - 0.995**50)


def test_the_block_rate_is_that_of_the_table() -> None:
    assert FlipRate(100, 100_000).block_rate(100) == pytest.approx(0.095, abs=0.001)
    assert FlipRate(500, 100_000).block_rate(100) == pytest.approx(0.39, abs=0.01)
    assert FlipRate(1_000, 100_000).block_rate(100) == pytest.approx(0.63, abs=0.01)


@pytest.mark.parametrize(("flips", "seen"), [(0, 30), (1, 37), (3, 400), (40, 3000), (180, 3600), (400, 20_000)])
def test_the_upper_bound_is_clopper_and_pearsons(flips: int, seen: int) -> None:
    from scipy.stats import beta

    assert FlipRate(flips, seen).high == pytest.approx(beta.ppf(0.95, flips + 1, seen - flips), rel=1e-6)


def test_a_suggestion_takes_from_every_group_alike_and_always_the_same() -> None:
    many = [history(f"a{n}", True, True, True, group="a") for n in range(50)]
    few = [history(f"b{n}", True, True, True, group="b") for n in range(3)]
    bad = [history("c1", True, False, True, group="c")]

    chosen = balanced([*many, *few, *bad], 10)

    assert len(chosen) == 10 and {"b0", "b1", "b2"} <= set(chosen) and "c1" not in chosen
    assert chosen == balanced([*few, *bad, *reversed(many)], 10)
