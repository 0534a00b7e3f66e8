"""What may be collected: whatever happened before, never what serves, can serve, is on its way or is needed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from pipelines.domain.change.keeping import Kept, Policy, collectable

NOW = datetime(2026, 11, 21, tzinfo=UTC)
AGES = st.integers(0, 1000).map(lambda days: NOW - timedelta(days=days))
# Few digests, so that versions share them as prompt versions do.
DIGESTS = st.frozensets(st.sampled_from("abcdefgh"), max_size=2)


@st.composite
def histories(draw: st.DrawFn) -> list[Kept]:
    count = draw(st.integers(0, 12))
    return [
        Kept(n, draw(DIGESTS), draw(st.booleans()), draw(AGES), draw(st.none() | AGES)) for n in range(1, count + 1)
    ]


POLICIES = st.builds(Policy, versions=st.integers(0, 6), days=st.integers(0, 400))


@given(histories(), POLICIES)
def test_nothing_that_is_in_use_is_ever_collected(history: list[Kept], policy: Policy) -> None:
    gone = collectable(history, policy, NOW)

    for version in history:
        if version.is_in_use:
            assert not version.digests & gone


@given(histories(), POLICIES)
def test_the_last_versions_of_production_and_young_ones_stay(history: list[Kept], policy: Policy) -> None:
    gone = collectable(history, policy, NOW)

    promoted = sorted((v for v in history if v.promoted_at), key=lambda v: (v.promoted_at, v.number))
    for version in promoted[-max(1, policy.versions) :]:
        assert not version.digests & gone
    for version in history:
        if NOW - version.created_at < timedelta(days=policy.days):
            assert not version.digests & gone


@given(histories(), POLICIES)
def test_what_goes_is_named_by_versions_that_nobody_needs_only(history: list[Kept], policy: Policy) -> None:
    gone = collectable(history, policy, NOW)

    assert gone <= {digest for version in history for digest in version.digests}
    again = collectable([v for v in history if not v.digests & gone], policy, NOW)
    assert not again & gone


@given(histories(), POLICIES, st.integers(1, 12))
def test_putting_a_version_to_use_never_lets_more_go(history: list[Kept], policy: Policy, number: int) -> None:
    used = [Kept(v.number, v.digests, v.is_in_use or v.number == number, v.created_at, v.promoted_at) for v in history]

    assert collectable(used, policy, NOW) <= collectable(history, policy, NOW)


def test_an_old_version_that_was_never_in_production_goes() -> None:
    old = NOW - timedelta(days=100)
    history = [Kept(1, frozenset({"a"}), False, old, None), Kept(2, frozenset({"b"}), True, old, old)]

    assert collectable(history, Policy(), NOW) == {"a"}
