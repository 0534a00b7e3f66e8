"""When rollouts may move: a table of local times."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from pipelines.domain.change.windows import Blackout, Window, closed
from tenants.change_control import read_blackout, read_window

MADRID = ZoneInfo("Europe/Madrid")


def windows(*texts: str) -> list[Window]:
    return [Window(*read_window(text), text) for text in texts]


def blackouts(*texts: str) -> list[Blackout]:
    return [Blackout(*read_blackout(text), text) for text in texts]


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=MADRID)


@pytest.mark.parametrize(
    ("now", "is_open", "opens"),
    [
        ("2026-03-02 08:59", False, "2026-03-02 09:00"),  # a Monday
        ("2026-03-02 09:00", True, ""),
        ("2026-03-02 15:59", True, ""),
        ("2026-03-02 16:00", False, "2026-03-03 09:00"),
        ("2026-03-05 17:00", False, "2026-03-06 09:00"),  # Thursday evening: Friday morning is a window too
        ("2026-03-06 12:00", False, "2026-03-09 09:00"),
        ("2026-03-27 23:00", False, "2026-03-30 09:00"),  # over the change of the clock: 09:00 by the wall
    ],
)
def test_rollouts_move_within_their_windows_only(now: str, is_open: bool, opens: str) -> None:
    found = closed(windows("MO-TH 09:00-16:00", "FR 09:00-12:00"), (), at(now))
    assert (found is None) == is_open
    if found is not None:
        assert found.opens_at == at(opens)
        assert found.reason == "outside the change windows (MO-TH 09:00-16:00; FR 09:00-12:00, Europe/Madrid)"


def test_a_blackout_holds_whole_days_and_the_next_window_after_it_opens() -> None:
    held = blackouts("2026-12-20/2027-01-06 year end")
    assert closed((), held, at("2026-12-19 23:59")) is None
    found = closed((), held, at("2026-12-20 00:00"))
    assert found is not None and found.reason == "blackout 2026-12-20/2027-01-06 year end"
    assert found.opens_at == at("2027-01-07 00:00")
    within = closed(windows("MO 09:00-16:00"), held, at("2027-01-06 23:59"))
    assert within is not None and within.opens_at == at("2027-01-11 09:00")


def test_without_windows_rollouts_move_at_any_hour() -> None:
    assert closed((), (), at("2026-03-01 03:00")) is None


NOT_READ = ["9-16", "MO 16:00-09:00", "XX 09:00-16:00", "MO 25:00-26:00", "2026-13-01", "2026-02-02/2026-02-01"]


@pytest.mark.parametrize("text", NOT_READ)
def test_what_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        (read_blackout if text.startswith("20") else read_window)(text)


def test_days_may_go_round_the_week() -> None:
    assert read_window("SA-MO 01:00-05:00")[0] == {5, 6, 0}
    assert read_window("MO WE 01:00-05:00")[0] == {0, 2}
