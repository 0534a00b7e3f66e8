"""A small fleet over five weeks: no slot is missed or met twice, whoever is killed and whatever the clocks do."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, time, timedelta
from statistics import median
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from pipelines.models import Job, Run
from tenants.models import Pipeline
from tests import factories
from tests.fleet import Fleet, body, occasions, played

BEGIN = factories.NOW
DAYS = 39
ZONES = ("Europe/Madrid", "America/New_York", "UTC")  # Two change to summer time on the way, on different days.
RULES = {"FREQ=MONTHLY;BYDAY=+1TU": "first Tuesday", "FREQ=WEEKLY;BYDAY=SU": "Sunday"}
# Nobody ticks from Saturday night on, over every zone's Sunday 04:00 and one change of the clocks.
STANDSTILL = (datetime(2026, 3, 28, 20, 0, tzinfo=UTC), datetime(2026, 3, 29, 14, 0, tzinfo=UTC))


@pytest.fixture
def pipelines(db: None) -> list[Pipeline]:
    """Sixty pipelines of twenty clients of two agencies; one in four starts each Sunday, the rest each month."""
    agencies = [factories.make_agency(slug) for slug in ("north", "south")]
    made = []
    for n in range(20):
        client = factories.make_client(agencies[n % 2], f"client-{n}", ZONES[n % 3])
        for m in range(3):
            rule = list(RULES)[(3 * n + m) % 4 == 0]
            made.append(factories.make_pipeline(client, f"task-{m}", **body(rule, "04:00")))
    with_rules = [pipeline for pipeline in made if rule_of(pipeline).startswith("FREQ=WEEKLY")]
    assert (len(made), len(with_rules)) == (60, 15)
    return made


def rule_of(pipeline: Pipeline) -> str:
    return str(pipeline.revision.body["triggers"]["schedule"]["rule"])


def slots(pipeline: Pipeline) -> set[datetime]:
    """04:00 on the wall of the client's zone, on the days of the rule: by the calendar alone."""
    zone = ZoneInfo(pipeline.client.timezone)
    days = (BEGIN.date() + timedelta(days=n) for n in range(DAYS + 1))
    at = (datetime.combine(day, time(4), zone).astimezone(UTC) for day in days if is_day(pipeline, day))
    return {moment for moment in at if BEGIN < moment < BEGIN + timedelta(days=DAYS)}


def is_day(pipeline: Pipeline, day: date) -> bool:
    return day.weekday() == 6 if "SU" in rule_of(pipeline) else day.weekday() == 1 and day.day <= 7


def play(pipelines: list[Pipeline], **more: Any) -> Fleet:
    fleet = Fleet(pipelines, BEGIN, {"gpu": 6, "cpu": 4}, killed_share=0.1)
    with played(fleet):
        fleet.play(BEGIN + timedelta(days=DAYS), **more)
    return fleet


def test_no_slot_is_missed_or_met_twice_though_tickers_and_workers_are_killed(
    pipelines: list[Pipeline], settings: Any
) -> None:
    settings.SCHEDULE_SPREAD_S = 900

    fleet = play(pipelines, tickerless=(STANDSTILL,), dies=7)

    for pipeline in pipelines:
        met = occasions(pipeline)
        assert sorted(slots(pipeline) ^ met.keys()) == [], f"{pipeline} of {pipeline.client.timezone}"
        assert set(met.values()) == {1}
    ended, retaken = outcome(pipelines)
    assert ended == Counter({"rejected": sum(map(len, map(slots, pipelines)))})
    assert set(fleet.landed.values()) == {1} and len(fleet.landed) == 2 * ended["rejected"]
    assert retaken > 0, "some workers died at their job, and another took it over"
    says_why(pipelines)


def outcome(pipelines: list[Pipeline]) -> tuple[Counter[str], int]:
    """How runs ended, and how many jobs were taken over."""
    ended, retaken = Counter[str](), 0
    for pipeline in pipelines:
        with factories.inside(pipeline):
            ended.update(Run.objects.filter(pipeline=pipeline).values_list("status", flat=True))
            retaken += Job.objects.filter(run__pipeline=pipeline, attempts__gt=1).count()
    return ended, retaken


def says_why(pipelines: list[Pipeline]) -> None:
    """The run that came a day late tells that nobody ticked."""
    weekly = next(one for one in pipelines if "SU" in rule_of(one) and one.client.timezone == "UTC")
    with factories.inside(weekly):
        reasons = [run.occasion["reason"] for run in Run.objects.filter(pipeline=weekly).order_by("number")]
    late = "due 2026-03-29 04:00 UTC (nobody looked at the time: the ticker stood still)"
    assert late in reasons and sum("nobody looked" in reason for reason in reasons) == 1


def test_whoever_has_one_pipeline_does_not_wait_behind_whoever_has_forty(db: None) -> None:
    agency = factories.make_agency("north")
    large = factories.make_client(agency, "large")
    first = [factories.make_pipeline(large, f"task-{n}", **body("FREQ=DAILY", "03:59")) for n in range(40)]
    small = [factories.make_client(agency, f"small-{n}") for n in range(4)]
    others = [factories.make_pipeline(client, **body("FREQ=DAILY", "04:00")) for client in small]
    fleet = Fleet([*first, *others], BEGIN, {"gpu": 2, "cpu": 2})

    with played(fleet):
        fleet.play(BEGIN + timedelta(hours=42))

    alone = [median(fleet.by_client[client.pk]) for client in small]
    assert max(alone) < 7200, "two workers, 25 minutes each: four clients have had their turn"
    assert max(fleet.by_client[large.pk]) > 4 * max(alone)
