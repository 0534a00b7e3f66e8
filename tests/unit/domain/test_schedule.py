"""Schedules in local time: daylight-saving changes, downtime, rules that cannot work."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from pipelines.domain.schedule import BadSchedule, check_schedule, missed, next_occurrences, spread_of

MADRID = ZoneInfo("Europe/Madrid")
FIRST_TUESDAY = "FREQ=MONTHLY;BYDAY=+1TU;BYHOUR=4"
SET_AT = datetime(2026, 1, 15, 17, 23, tzinfo=UTC)


def local(rule: str, after: datetime, count: int, zone: str = "Europe/Madrid") -> list[str]:
    found = next_occurrences(rule, zone, after, count, SET_AT)
    return [f"{at.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M %Z}" for at in found]


def test_the_first_tuesday_of_each_month_at_four_in_madrid() -> None:
    assert local(FIRST_TUESDAY, datetime(2026, 2, 20, tzinfo=UTC), 3) == [
        "2026-03-03 04:00 CET",
        "2026-04-07 04:00 CEST",
        "2026-05-05 04:00 CEST",
    ]


def test_a_time_that_summer_time_skips_is_due_by_the_offset_before_it() -> None:
    assert local("FREQ=DAILY;BYHOUR=2;BYMINUTE=30", datetime(2026, 3, 28, 12, tzinfo=UTC), 2) == [
        "2026-03-29 03:30 CEST",
        "2026-03-30 02:30 CEST",
    ]


def test_a_time_that_occurs_twice_is_due_once_and_the_first_time() -> None:
    assert local("FREQ=DAILY;BYHOUR=2;BYMINUTE=30", datetime(2026, 10, 24, 12, tzinfo=UTC), 2) == [
        "2026-10-25 02:30 CEST",
        "2026-10-26 02:30 CET",
    ]


def test_between_the_two_half_past_two_it_is_not_due_again() -> None:
    between = datetime(2026, 10, 25, 0, 45, tzinfo=UTC)  # 02:45 CEST
    assert local("FREQ=DAILY;BYHOUR=2;BYMINUTE=30", between, 1) == ["2026-10-26 02:30 CET"]


def test_hourly_rules_have_no_doubled_hour_in_spring() -> None:
    found = next_occurrences("FREQ=HOURLY", "Europe/Madrid", datetime(2026, 3, 29, 0, 30, tzinfo=UTC), 3, SET_AT)
    assert [at.hour for at in found] == [1, 2, 3]


def test_intervals_count_from_the_day_the_schedule_was_set() -> None:
    rule = "FREQ=WEEKLY;INTERVAL=2;BYDAY=TH;BYHOUR=4"
    assert local(rule, datetime(2026, 1, 16, tzinfo=UTC), 2) == ["2026-01-29 04:00 CET", "2026-02-12 04:00 CET"]


def test_until_in_utc_is_understood() -> None:
    rule = "FREQ=DAILY;BYHOUR=4;UNTIL=20260202T120000Z"
    assert len(next_occurrences(rule, "Europe/Madrid", datetime(2026, 2, 1, 12, tzinfo=UTC), 5, SET_AT)) == 1


def test_until_as_a_day_holds_that_day() -> None:
    rule = "FREQ=DAILY;BYHOUR=4;UNTIL=20260202"
    assert local(rule, datetime(2026, 1, 31, 12, tzinfo=UTC), 5) == ["2026-02-01 04:00 CET", "2026-02-02 04:00 CET"]


def test_downtime_leaves_every_missed_time_to_be_collapsed() -> None:
    handled, now = datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 5, 6, tzinfo=UTC)
    found = missed(FIRST_TUESDAY, "Europe/Madrid", handled, now, SET_AT)
    assert [at.astimezone(MADRID).month for at in found] == [2, 3, 4, 5]


def test_a_due_time_is_handled_exactly_once() -> None:
    due = next_occurrences(FIRST_TUESDAY, "Europe/Madrid", SET_AT, 1, SET_AT)[0]
    assert missed(FIRST_TUESDAY, "Europe/Madrid", SET_AT, due, SET_AT) == [due]
    assert missed(FIRST_TUESDAY, "Europe/Madrid", due, due + timedelta(days=1), SET_AT) == []


def test_a_minutely_rule_set_long_ago_is_answered_quickly() -> None:
    now = SET_AT + timedelta(days=700)
    started = datetime.now(UTC)
    assert len(next_occurrences("FREQ=MINUTELY", "Europe/Madrid", now, 3, SET_AT)) == 3
    assert datetime.now(UTC) - started < timedelta(seconds=2)


@pytest.mark.parametrize(
    ("rule", "zone"),
    [
        ("first tuesday", "UTC"),
        ("FREQ=FORTNIGHTLY", "UTC"),
        ("FREQ=SECONDLY", "UTC"),
        ("FREQ=DAILY;COUNT=3", "UTC"),
        ("FREQ=DAILY;BYHOUR=25", "UTC"),
        ("FREQ=DAILY;BYHOUR=soon", "UTC"),
        ("FREQ=DAILY;UNTIL=20200101T000000", "UTC"),
        ("FREQ=MONTHLY;BYMONTH=2;BYMONTHDAY=30", "UTC"),
        ("FREQ=DAILY", "Europe/Nowhere"),
        ("FREQ=DAILY", "../../etc/passwd"),
        ("", "UTC"),
    ],
)
def test_a_schedule_that_cannot_work_is_refused_with_a_sentence(rule: str, zone: str) -> None:
    with pytest.raises(BadSchedule):
        check_schedule(rule, zone, SET_AT)


def test_pipelines_are_spread_evenly_and_each_always_starts_at_its_own_moment() -> None:
    starts = [spread_of(pipeline, 900).total_seconds() for pipeline in range(1, 5001)]
    assert starts == [spread_of(pipeline, 900).total_seconds() for pipeline in range(1, 5001)]
    assert min(starts) >= 0 and max(starts) < 900
    minutes = Counter(int(start // 60) for start in starts)
    assert len(minutes) == 15 and max(minutes.values()) < 1.2 * 5000 / 15
    assert spread_of(1, 0) == timedelta(0)
