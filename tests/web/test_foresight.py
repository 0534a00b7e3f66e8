"""Beside the settings: triggers tried on the last 90 days, and how often a healthy version would be taken back."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client as Browser
from django.urls import reverse
from django.utils import timezone

from pipelines.actions import add_examples
from pipelines.models import Rollback, TrafficSpan, Unit
from pipelines.reports.foresight.alarms import alarms
from pipelines.reports.foresight.past import tried
from tenants.models import Client, Pipeline
from tests import factories

NOW = timezone.now()
HERE = reverse("trigger-backtest", args=["acorn", "support"])


@pytest.fixture
def support(acorn: Client) -> Pipeline:
    return factories.make_pipeline(acorn, data={"min_new_examples": 50})


def upload(pipeline: Pipeline, rows: int, days_ago: float) -> None:
    lines = [b'{"input": "Where is parcel %d of %d?", "output": "delivery"}' % (n, days_ago) for n in range(rows)]
    with factories.inside(pipeline):
        at = NOW - timedelta(days=days_ago)
        add_examples(pipeline, lines, token=f"t{days_ago}", actor="tests", now=at)


def traffic(pipeline: Pipeline, requests: int, bad: int, days: int = 10) -> None:
    version = factories.make_production(pipeline).model_version
    midnight = NOW.replace(hour=0, minute=0, second=0, microsecond=0)
    with factories.inside(pipeline):
        for day in range(1, days + 1):
            given = {"unit": Unit.DAY, "begins_at": midnight - timedelta(days=day), "host": "shop", "arm": "production"}
            TrafficSpan.of(pipeline, pipeline=pipeline, version=version, requests=requests, bad=bad, **given).save()


def looks(pipeline: Pipeline, **triggers: Any) -> list[tuple[bool, str]]:
    with factories.inside(pipeline):
        chosen = pipeline.settings.triggers.model_copy(update=triggers)
        return [(look.is_start, look.sentence) for look in tried(pipeline, chosen, NOW).looks]


def test_uploads_that_reach_the_threshold_would_have_started_runs(support: Pipeline) -> None:
    upload(support, 30, 60)
    upload(support, 30, 40)
    upload(support, 30, 20)

    found = looks(support, schedule=None, new_examples=50, quality_below=None)

    assert found == [(True, "60 new examples >= 50")]


def test_uploads_below_what_validate_takes_would_have_started_none(support: Pipeline) -> None:
    upload(support, 30, 60)

    assert looks(support, schedule=None, new_examples=20, quality_below=None) == []


def test_poor_answers_would_have_started_a_run_and_its_cooldown_held_the_next_back(support: Pipeline) -> None:
    traffic(support, 100, 40)

    found = looks(support, new_examples=None, quality_below=0.85, quality_min_sample=100)

    starts, held = [s for is_start, s in found if is_start], [s for is_start, s in found if not is_start]
    assert len(starts) >= 2 and "quality 0.600 < 0.850" in starts[0]
    assert held and "cooldown after a quality-triggered run" in held[0]


def test_a_rollback_holds_back_what_was_due(support: Pipeline) -> None:
    version = factories.make_production(support).model_version
    upload(support, 60, 20)
    with factories.inside(support):
        both = {"from_version": version, "to_version": version, "phase": "person", "metric": "decision"}
        decided = {"decided_by": "tests", "decided_at": NOW - timedelta(days=20.5)}
        Rollback.of(support, pipeline=support, **both, **decided).save()

    found = looks(support, new_examples=50, quality_below=None)

    assert [is_start for is_start, _ in found] == [True, False] and "after a rollback" in found[1][1]


def test_the_triggers_are_tried_as_they_are_typed(engineer: Browser, support: Pipeline) -> None:
    upload(support, 60, 20)
    typed = {"triggers.new_examples": "50", "triggers.quality_below": "", "triggers.quality_min_sample": "100"}
    typed |= {"triggers.cooldown_s": "48 h", "triggers.max_runs_per_day": "4"}

    assert "started <b>1 run</b>" in engineer.get(HERE, typed).text
    assert "started <b>0 runs</b>" in engineer.get(HERE).text  # As saved: 500.


def test_a_schedule_is_tried_in_the_clients_time(engineer: Browser, support: Pipeline) -> None:
    typed = {"triggers.has_schedule": "on", "triggers.schedule.rule": "FREQ=WEEKLY;BYDAY=SA"}
    typed |= {"triggers.schedule.at": "04:00", "triggers.quality_min_sample": "100", "triggers.cooldown_s": "48 h"}

    page = engineer.get(HERE, typed | {"triggers.max_runs_per_day": "4"})

    assert page.context["tried"].starts in (12, 13)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({"triggers.cooldown_s": "soon"}, "is not a duration"),
        ({"triggers.has_schedule": "on", "triggers.schedule.rule": "now and then"}, "Not an RFC 5545 rule"),
    ],
)
def test_what_cannot_be_read_is_said(typed: dict[str, str], said: str, engineer: Browser, support: Pipeline) -> None:
    good = {"triggers.quality_min_sample": "100", "triggers.cooldown_s": "48 h", "triggers.max_runs_per_day": "4"}

    page = engineer.get(HERE, good | {"triggers.schedule.at": "04:00"} | typed)

    assert page.status_code == 200 and said in page.text


def test_little_traffic_makes_the_literal_rule_fire_almost_surely(support: Pipeline) -> None:
    traffic(support, 2000, 200)
    with factories.inside(support):
        found = alarms(support, support.settings, NOW)

    assert found.is_measured and found.per_day == 2000 and found.success == pytest.approx(0.9)
    assert found.literal > 0.95 and found.evidence == 0.01


def test_much_traffic_lets_it_fire_seldom(support: Pipeline) -> None:
    traffic(support, 20_000_000, 200_000)
    with factories.inside(support):
        found = alarms(support, support.settings, NOW)

    assert found.literal < 0.05


def test_without_traffic_the_page_says_what_it_supposes(viewer: Browser, support: Pipeline) -> None:
    page = viewer.get(reverse("false-alarms", args=["acorn", "support"]))

    assert "supposed 200 requests a day" in page.text
