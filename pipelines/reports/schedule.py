"""When the schedule of a pipeline comes round next."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings

from pipelines.domain.schedule import next_occurrences, spread_of
from tenants.models import Pipeline
from tenants.pipeline_settings import Schedule, Triggers


def rule_of(schedule: Schedule) -> str:
    """The whole RFC 5545 rule: the day's rule with its local wall-clock time."""
    return f"{schedule.rule};BYHOUR={schedule.at.hour};BYMINUTE={schedule.at.minute};BYSECOND=0"


def spread(pipeline: Pipeline) -> timedelta:
    """How long after its due times the pipeline starts, lest all schedules of one hour start together."""
    return spread_of(pipeline.pk, settings.SCHEDULE_SPREAD_S)


def next_times(schedule: Schedule | None, timezone: str, now: datetime, count: int = 5) -> list[datetime]:
    """The next `count` due times in UTC; empty without a schedule. Raises BadSchedule for a rule that is never due."""
    if schedule is None:
        return []
    return next_occurrences(rule_of(schedule), timezone, now, count)


def next_scheduled(pipeline: Pipeline, now: datetime) -> datetime | None:
    """None without a schedule, without settings, or while the pipeline is paused."""
    if pipeline.is_paused or pipeline.revision is None:
        return None
    triggers = Triggers.model_validate(pipeline.revision.body.get("triggers", {}))
    return next(iter(next_times(triggers.schedule, pipeline.client.timezone, now, 1)), None)
