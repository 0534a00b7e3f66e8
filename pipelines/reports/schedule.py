"""When the schedule of a pipeline comes round next."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import groupby, takewhile

from django.conf import settings

from pipelines.domain.schedule import next_occurrences, spread_of
from tenants.models import Pipeline, SettingsRevision
from tenants.pipeline_settings import STORED, Schedule, Triggers


def rule_of(schedule: Schedule) -> str:
    """The whole RFC 5545 rule: the day's rule with its local wall-clock time."""
    return f"{schedule.rule};BYHOUR={schedule.at.hour};BYMINUTE={schedule.at.minute};BYSECOND=0"


def spread(pipeline: Pipeline) -> timedelta:
    """How long after its due times the pipeline starts, lest all schedules of one hour start together."""
    return spread_of(pipeline.pk, settings.SCHEDULE_SPREAD_S)


def next_times(
    schedule: Schedule | None, timezone: str, now: datetime, count: int = 5, set_at: datetime | None = None
) -> list[datetime]:
    """The next `count` due times in UTC; empty without a schedule. Raises BadSchedule for a rule that is never due.

    Intervals count from `set_at`, or from now where the schedule is still to be saved.
    """
    if schedule is None:
        return []
    return next_occurrences(rule_of(schedule), timezone, now, count, set_at)


def next_scheduled(pipeline: Pipeline, now: datetime, set_at: datetime | None = None) -> datetime | None:
    """None without a schedule, without settings, or while the pipeline is paused; `set_at` as `anchors_of` gives it."""
    schedule = _schedule(pipeline)
    if pipeline.is_paused or schedule is None:
        return None
    hour = now.replace(minute=0, second=0, microsecond=0)
    due = _due_from(rule_of(schedule), pipeline.client.timezone, hour, set_at)
    return next((at for at in due if at > now), None)


@lru_cache(maxsize=4000)
def _due_from(rule: str, timezone: str, hour: datetime, set_at: datetime | None) -> list[datetime]:
    """The next two times: a schedule is due once a day at most, so once an hour is enough to work them out."""
    return next_occurrences(rule, timezone, hour, 2, set_at)


def anchors_of(pipelines: Sequence[Pipeline]) -> dict[int, datetime]:
    """{pipeline's id: where its schedule counts from}, for "every second week" and rules that name no day."""
    return set_at_of([row for row in pipelines if (found := _schedule(row)) and _counts(found.rule.upper())])


def _counts(rule: str) -> bool:
    names_days = any(part in rule for part in ("BYDAY", "BYMONTHDAY", "BYYEARDAY", "FREQ=DAILY"))
    return "INTERVAL" in rule or not names_days


def _schedule(pipeline: Pipeline) -> Schedule | None:
    body = pipeline.revision.body if pipeline.revision else {}
    return Triggers.model_validate(body.get("triggers", {}), context=STORED).schedule


def set_at_of(pipelines: Sequence[Pipeline]) -> dict[int, datetime]:
    """{pipeline's id: since when its schedule is as it is now}, for those that have one; one query.

    "Every second week" counts from there, and what was due before is nobody's miss.
    """
    now_set = {row.pk: row.revision.body["triggers"]["schedule"] for row in pipelines if row.revision}
    found = {row.pk: row.created_at for row in pipelines if now_set.get(row.pk)}
    if not found:
        return {}
    rows = SettingsRevision.objects.filter(pipeline__in=found).order_by("pipeline", "-number")
    told = rows.values_list("pipeline", "body__triggers__schedule", "created_at")
    for pk, revisions in groupby(told, key=lambda row: row[0]):
        for _pk, _same, created_at in takewhile(lambda row: row[1] == now_set[row[0]], revisions):
            found[pk] = created_at
    return found
