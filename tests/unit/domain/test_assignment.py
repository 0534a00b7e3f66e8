"""Sticky assignment: even, monotone, independent between rollouts, never by application."""

from hashlib import sha256

import pytest

from pipelines.domain.assignment import KeySource, bucket, choose_key, is_heavy, is_on_candidate

KEYS = [f"key-{i}" for i in range(20_000)]


def test_the_bucket_is_the_documented_hash() -> None:
    digest = sha256(b"acorn/support|r7|key-1").hexdigest()
    assert bucket("acorn/support", "r7", "key-1") == int(digest, 16) % 10_000


@pytest.mark.parametrize("share_bp", [500, 2_500])
def test_the_share_is_met(share_bp: int) -> None:
    found = sum(is_on_candidate("p", "r", key, share_bp) for key in KEYS) / len(KEYS)
    assert found == pytest.approx(share_bp / 10_000, abs=0.01)


def test_raising_the_share_never_moves_a_key_back() -> None:
    small = {key for key in KEYS if is_on_candidate("p", "r", key, 500)}
    large = {key for key in KEYS if is_on_candidate("p", "r", key, 2_500)}
    assert small < large
    assert not any(is_on_candidate("p", "r", key, 0) for key in KEYS)
    assert all(is_on_candidate("p", "r", key, 10_000) for key in KEYS)


def test_another_rollout_draws_other_keys() -> None:
    one = {key for key in KEYS if is_on_candidate("p", "r1", key, 2_500)}
    two = {key for key in KEYS if is_on_candidate("p", "r2", key, 2_500)}
    assert len(one & two) / len(one) == pytest.approx(0.25, abs=0.03)


@pytest.mark.parametrize(
    ("fields", "source"),
    [
        (("c", "s", "u", "p"), KeySource.CONVERSATION),
        ((None, "s", "u", "p"), KeySource.SESSION),
        (("", "  ", "u", "p"), KeySource.USER),
        ((None, None, None, "p"), KeySource.PROMPT),
        ((None, None, None, "\ud800"), KeySource.PROMPT),
    ],
)
def test_the_key_is_the_best_one_given(
    fields: tuple[str | None, str | None, str | None, str], source: KeySource
) -> None:
    assert choose_key(*fields).source is source


def test_a_key_hides_what_it_came_from_and_depends_on_where() -> None:
    key = choose_key(None, None, "ana@client.example", "p")
    assert "ana" not in key.value
    assert key.value != choose_key("ana@client.example", None, None, "p").value


@pytest.mark.parametrize(("requests", "total", "heavy"), [(6, 99, False), (5, 100, False), (6, 100, True)])
def test_a_key_with_more_than_5_percent_of_the_traffic_is_heavy(requests: int, total: int, heavy: bool) -> None:
    assert is_heavy(requests, total) is heavy
