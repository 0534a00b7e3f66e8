"""When something is told again, and which trouble it belongs to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pipelines.domain.telling.incidents import incident_of
from pipelines.domain.telling.pacing import GIVEN_UP_AFTER, JITTER, MAX_TRIES, PAUSES, is_given_up, next_try

NOW = datetime(2026, 3, 3, 4, 0, tzinfo=UTC)


@pytest.mark.parametrize("tries", range(1, MAX_TRIES))
def test_each_pause_is_the_planned_one_and_up_to_a_fifth_more(tries: int) -> None:
    found = {next_try(tries, NOW, f"msg_{n}") for n in range(50)}

    pauses = [at - NOW for at in found if at]
    assert min(pauses) >= PAUSES[tries - 1] and max(pauses) <= PAUSES[tries - 1] * (1 + JITTER)
    assert len(found) > 40, "not all of them in one second"


def test_the_same_seed_gives_the_same_time_and_the_last_try_none() -> None:
    assert next_try(1, NOW, "msg_1") == next_try(1, NOW, "msg_1")
    assert next_try(MAX_TRIES, NOW, "msg_1") is None


@pytest.mark.parametrize(("wish_s", "least"), [(90, 90), (10**9, 6 * 3600), (0, 5)])
def test_a_servers_wish_is_heard_up_to_six_hours(wish_s: float, least: int) -> None:
    at = next_try(1, NOW, "msg_1", wish_s)

    assert at is not None and timedelta(seconds=least) <= at - NOW <= timedelta(seconds=max(least, 6))


@pytest.mark.parametrize(
    ("since", "given_up"), [(None, False), (NOW - GIVEN_UP_AFTER / 2, False), (NOW - GIVEN_UP_AFTER, True)]
)
def test_a_channel_is_given_up_after_days_without_an_answer(since: datetime | None, given_up: bool) -> None:
    assert is_given_up(since, NOW) is given_up


@pytest.mark.parametrize(
    ("kind", "detail", "name", "is_over"),
    [
        ("rolled_back", {}, "version", False),
        ("promoted", {}, "version", True),
        ("held", {}, "decision", False),
        ("drift", {"host": "shop"}, "host:shop", False),
        ("rejected", {}, "", False),
    ],
)
def test_a_notice_belongs_to_a_trouble(kind: str, detail: dict[str, str], name: str, is_over: bool) -> None:
    incident = incident_of(kind, detail)

    assert (incident.name, incident.is_over) == (name, is_over)
