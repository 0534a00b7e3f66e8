"""How the demo ends: every act as it should, or, on a base that it was not made for, a fair rejection."""

from __future__ import annotations

import pytest

from agency.demo.acts import Act, ended_well


def act(expected: str, verdict: str) -> Act:
    return Act("an act", "heronbrook", 1, "v1", expected, verdict, "safety 28 of 29 cases", 1.0)


GOOD, BAD, KEPT_BACK = act("succeeded", "succeeded"), act("succeeded", "failed"), act("succeeded", "rejected")


@pytest.mark.parametrize(
    ("told", "on_own", "on_another"),
    [
        ([GOOD, GOOD], True, True),
        ([GOOD], False, False),
        ([GOOD, KEPT_BACK], False, True),
        ([KEPT_BACK], False, True),
        ([KEPT_BACK, GOOD], False, False),
        ([GOOD, BAD], False, False),
        ([GOOD, act("rejected", "succeeded")], False, False),
    ],
)
def test_a_rejection_is_a_result_where_the_base_is_another(told: list[Act], on_own: bool, on_another: bool) -> None:
    assert ended_well(told, 2, is_own_base=True) is on_own
    assert ended_well(told, 2, is_own_base=False) is on_another
