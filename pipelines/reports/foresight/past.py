"""A pipeline's triggers tried on its own last days: from its uploads, what its answers were worth, its rollbacks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, Q, Sum
from django.db.models.functions import TruncDay

from pipelines.domain import triggers as judge
from pipelines.domain.triggers import QUALITY_WINDOW, History, Look, TriggerSettings, looks
from pipelines.models import Example, ExampleState, Feedback, Rollback, Run, TrafficSpan, Unit
from pipelines.reports.schedule import rule_of
from tenants.models import Pipeline
from tenants.pipeline_settings import Triggers

DAYS = 90
SHOWN = 40


@dataclass(frozen=True)
class Tried:
    """`looks`: starts and what was held back, the newest first. `really`: runs that were started in the same time."""

    looks: tuple[Look, ...]
    really: int
    days: int

    @property
    def starts(self) -> int:
        return sum(look.is_start for look in self.looks)

    @property
    def held_back(self) -> int:
        return len(self.looks) - self.starts

    @property
    def shown(self) -> tuple[Look, ...]:
        return self.looks[:SHOWN]

    @property
    def more(self) -> int:
        return max(0, len(self.looks) - SHOWN)


def tried(pipeline: Pipeline, chosen: Triggers, now: datetime, days: int = DAYS) -> Tried:
    """Raises BadSchedule for a rule that cannot be read."""
    since = now - timedelta(days=days)
    found = looks(_settings(pipeline, chosen, since), history_of(pipeline, since, now), now, days)
    really = Run.objects.filter(pipeline=pipeline, created_at__gt=since).count()
    return Tried(tuple(reversed(found)), really, days)


def _settings(pipeline: Pipeline, chosen: Triggers, since: datetime) -> TriggerSettings:
    return judge.TriggerSettings(
        schedule_rule=rule_of(chosen.schedule) if chosen.schedule else None,
        time_zone=pipeline.client.timezone,
        schedule_set_at=since if chosen.schedule else None,
        new_examples=pipeline.settings.model_copy(update={"triggers": chosen}).starts_at_new_examples,
        quality_below=chosen.quality_below,
        quality_sample=chosen.quality_min_sample,
        cooldown=chosen.cooldown,
        runs_per_day=chosen.max_runs_per_day,
    )


def history_of(pipeline: Pipeline, since: datetime, now: datetime) -> History:
    rows = Example.objects.filter(pipeline=pipeline, state=ExampleState.READY, batch__created_at__gt=since)
    accepted = rows.order_by("batch__created_at").values_list("batch__created_at").annotate(n=Count("id"))
    rollbacks = Rollback.objects.filter(pipeline=pipeline, decided_at__gt=since - timedelta(days=30))
    back = tuple(rollbacks.order_by("decided_at").values_list("decided_at", flat=True))
    return History(tuple(accepted), _quality(pipeline, since, now), back)


def _quality(pipeline: Pipeline, since: datetime, now: datetime) -> tuple[tuple[datetime, float, int], ...]:
    """(end of a day, share of good answers in the week before it, how many): by whole days, in UTC."""
    begin = _midnight(since - QUALITY_WINDOW)
    good: dict[datetime, int] = defaultdict(int)
    asked: dict[datetime, int] = defaultdict(int)
    spans = TrafficSpan.objects.filter(pipeline=pipeline, unit=Unit.DAY, begins_at__gte=begin)
    for day, n, bad in spans.values_list("begins_at").annotate(n=Sum("requests"), bad=Sum("bad")):
        asked[day] += n
        good[day] += n - bad
    said = Feedback.objects.filter(exchange__version__pipeline=pipeline, client_id=pipeline.client_id, at__gte=begin)
    by_day = (
        said.annotate(day=TruncDay("at")).values_list("day").annotate(n=Count("id"), good=Count("id", Q(is_good=True)))
    )
    for day, n, well in by_day.order_by("day"):
        asked[day] += n
        good[day] += well
    return tuple(_weeks(good, asked, since, now))


def _weeks(
    good: dict[datetime, int], asked: dict[datetime, int], since: datetime, now: datetime
) -> Iterator[tuple[datetime, float, int]]:
    day = _midnight(since) + timedelta(days=1)
    while day <= now:
        week = [one for one in asked if day - QUALITY_WINDOW <= one < day]
        n = sum(asked[one] for one in week)
        if n:
            yield day, sum(good[one] for one in week) / n, n
        day += timedelta(days=1)


def _midnight(at: datetime) -> datetime:
    return at.replace(hour=0, minute=0, second=0, microsecond=0)
