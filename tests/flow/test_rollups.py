"""Minutes become hours and days, however often, in whatever order they come, and old ones go."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from pipelines.domain.histogram import Histogram
from pipelines.models import ModelVersion, Traffic, TrafficSpan, Unit
from pipelines.reports.traffic import asked_since
from pipelines.retention import forget_old_traffic
from pipelines.rollups import begin_of, roll_up, roll_up_all
from tenants.models import Client
from tests import factories

NOON = datetime.fromisoformat("2026-03-03T12:00:00+00:00")


@pytest.fixture
def version(in_acorn: Client) -> ModelVersion:
    return factories.make_production(factories.make_pipeline(in_acorn)).model_version


def minute(
    version: ModelVersion, at: datetime, requests: int = 1, arm: str = "production", ms: float = 10.0
) -> Traffic:
    counted: dict[str, Any] = {"requests": requests, "errors": 1, "latency": Histogram.of([ms] * requests).to_json()}
    row = Traffic.of(version, pipeline=version.pipeline, version=version, host="shop", arm=arm, minute=at, **counted)
    row.save()
    return row


def spans(unit: Unit) -> list[tuple[str, str, int]]:
    rows = TrafficSpan.objects.filter(unit=unit).order_by("begins_at", "arm")
    return [(f"{row.begins_at:%d %H}", row.arm, row.requests) for row in rows]


def test_minutes_of_an_hour_and_hours_of_a_day_add_up_by_arm(version: ModelVersion) -> None:
    for minutes, arm in (
        (0, "production"),
        (59, "production"),
        (60, "production"),
        (5, "candidate"),
        (-780, "candidate"),
    ):
        minute(version, NOON + timedelta(minutes=minutes), 2, arm)
    roll_up(version.client_id, NOON)
    assert spans(Unit.HOUR) == [
        ("02 23", "candidate", 2),
        ("03 12", "candidate", 2),
        ("03 12", "production", 4),
        ("03 13", "production", 2),
    ]
    assert spans(Unit.DAY) == [("02 00", "candidate", 2), ("03 00", "candidate", 2), ("03 00", "production", 6)]
    day = TrafficSpan.objects.get(unit=Unit.DAY, arm="production")
    assert (day.errors, Histogram.from_json(day.latency).total) == (3, 6)


def test_again_changes_nothing_and_a_late_minute_is_taken_in(version: ModelVersion) -> None:
    row = minute(version, NOON, 3)
    assert roll_up(version.client_id, NOON) == 1
    assert roll_up(version.client_id, NOON) == 0
    Traffic.objects.update(is_rolled_up=False)
    roll_up(version.client_id, NOON)
    assert spans(Unit.DAY) == [("03 00", "production", 3)]
    Traffic.objects.filter(pk=row.pk).update(requests=5, is_rolled_up=False)
    minute(version, NOON + timedelta(minutes=1), 2)
    roll_up(version.client_id, NOON)
    assert spans(Unit.HOUR) == [("03 12", "production", 7)] and spans(Unit.DAY) == [("03 00", "production", 7)]


def test_old_minutes_go_only_once_an_hour_holds_them_and_take_nothing_with_them(version: ModelVersion) -> None:
    minute(version, NOON, 4)
    later = NOON + timedelta(days=15)
    assert forget_old_traffic(later) == 0
    roll_up(version.client_id, NOON)
    assert forget_old_traffic(later) == 1
    forget_old_traffic(NOON + timedelta(days=200))
    assert spans(Unit.HOUR) == [] and spans(Unit.DAY) == [("03 00", "production", 4)]


def test_minutes_of_a_gateway_that_was_cut_off_for_weeks_are_added_to_what_the_hour_has(version: ModelVersion) -> None:
    minute(version, NOON, 4)
    roll_up(version.client_id, NOON)
    later = NOON + timedelta(days=20)
    forget_old_traffic(later)
    for requests in (9, 2):  # The same minute, in two deliveries.
        minute(version, NOON + timedelta(minutes=1), requests)
        minute(version, NOON + timedelta(minutes=70), 1)
        assert roll_up(version.client_id, later) == 2 and roll_up(version.client_id, later) == 0
    assert spans(Unit.HOUR) == [("03 12", "production", 15), ("03 13", "production", 2)]
    assert spans(Unit.DAY) == [("03 00", "production", 17)] and not Traffic.objects.exists()
    day = TrafficSpan.objects.get(unit=Unit.DAY)
    assert (day.errors, Histogram.from_json(day.latency).total) == (5, 17)


def test_a_report_counts_each_request_once_whether_rolled_up_or_not(version: ModelVersion) -> None:
    now = NOON + timedelta(days=20)
    for days in (0, 10, 19, 20):
        minute(version, NOON + timedelta(days=days), 2)
    minute(version, NOON - timedelta(days=30), 50)
    assert asked_since(version.pipeline, now - timedelta(days=30), now) == (4, 2)
    roll_up_all(NOON)
    assert asked_since(version.pipeline, now - timedelta(days=30), now) == (8, 4)
    forget_old_traffic(now)
    assert asked_since(version.pipeline, now - timedelta(days=30), now) == (8, 4)


def test_every_client_with_fresh_minutes_is_rolled_up(version: ModelVersion) -> None:
    other = factories.make_client(slug="birch")
    with factories.inside(other):
        theirs = factories.make_production(factories.make_pipeline(other)).model_version
        minute(theirs, NOON, 7)
    minute(version, NOON, 1)
    assert roll_up_all(NOON) == 2
    with factories.inside(other):
        assert spans(Unit.DAY) == [("03 00", "production", 7)]


def test_hours_and_days_begin_on_the_hour_and_at_midnight_utc() -> None:
    at = datetime.fromisoformat("2026-03-03T12:34:56.789+00:00")
    assert begin_of(Unit.HOUR, at) == NOON and begin_of(Unit.DAY, at) == NOON.replace(hour=0)
