"""Minutes of traffic become hours and days: computed anew from what is there, so doing it twice changes nothing.

Minutes that come past their days are added instead, and go in the same transaction: others of their hour went before.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction

from pipelines.domain.histogram import Histogram
from pipelines.models import Traffic, TrafficSpan, Unit
from pipelines.models.traffic import Counted
from tenants import crossing, scope

SUMS = ("requests", "errors", "bad", "input_tokens", "output_tokens")
HISTOGRAMS = ("latency", "first_token")
# Rows of one transaction: the meter waits for their locks.
ROWS_AT_ONCE = 2_000
HOUR, DAY = timedelta(hours=1), timedelta(days=1)

Series = tuple[int, int, str, str]


def roll_up_all(now: datetime) -> int:
    """Every client with traffic that no hour holds yet; gives how many minutes were taken in."""
    taken = 0
    for agency_id, client_id in crossing.ask("traffic_to_roll_up"):
        with scope.client_scope(client_id, agency_id):
            while done := roll_up(client_id, now):
                taken += done
    return taken


def roll_up(client_id: int, now: datetime) -> int:
    """Takes in some minutes of one client, whole hours of them; 0 when there was nothing to do."""
    with transaction.atomic():
        fresh = Traffic.objects.select_for_update().filter(client_id=client_id, is_rolled_up=False)
        rows = list(fresh.order_by("pk")[:ROWS_AT_ONCE])
        oldest = oldest_minute(now)
        _recount([row for row in rows if row.minute >= oldest])
        for late in (row for row in rows if row.minute < oldest):
            _add(Unit.HOUR, late)
            _add(Unit.DAY, late)
        mine = Traffic.objects.filter(client_id=client_id, pk__in=[row.pk for row in rows])
        mine.filter(minute__lt=oldest).delete()
        mine.update(is_rolled_up=True)
    return len(rows)


def oldest_minute(now: datetime) -> datetime:
    """What is older is kept by the hour alone."""
    return begin_of(Unit.HOUR, now - timedelta(days=settings.TRAFFIC_MINUTE_DAYS))


def begin_of(unit: Unit, at: datetime) -> datetime:
    """The hour or day (UTC) that holds `at`."""
    hour = at.replace(minute=0, second=0, microsecond=0)
    return hour if unit is Unit.HOUR else hour.replace(hour=0)


def _recount(rows: list[Traffic]) -> None:
    hours = {(_series(row), begin_of(Unit.HOUR, row.minute)) for row in rows}
    for series, hour in hours:
        minutes = Traffic.objects.filter(**_of(series), minute__gte=hour, minute__lt=hour + HOUR)
        _write(Unit.HOUR, series, hour, minutes, rows[0])
    for series, day in {(series, begin_of(Unit.DAY, hour)) for series, hour in hours}:
        inside = {"unit": Unit.HOUR, "begins_at__gte": day, "begins_at__lt": day + DAY}
        _write(Unit.DAY, series, day, TrafficSpan.objects.filter(**_of(series), **inside), rows[0])


def _add(unit: Unit, late: Traffic) -> None:
    series, begin = _series(late), begin_of(unit, late.minute)
    held = TrafficSpan.objects.select_for_update().filter(**_of(series), unit=unit, begins_at=begin)
    _write(unit, series, begin, [*held, late], late)


def _series(row: Traffic) -> Series:
    return row.pipeline_id, row.version_id, row.host, row.arm


def _of(series: Series) -> dict[str, int | str]:
    return dict(zip(("pipeline_id", "version_id", "host", "arm"), series, strict=True))


def _write(unit: Unit, series: Series, begin: datetime, parts: Iterable[Counted], owner: Traffic) -> None:
    sums: dict[str, int] = dict.fromkeys(SUMS, 0)
    histograms: dict[str, Histogram] = defaultdict(Histogram)
    for part in parts:
        for name in SUMS:
            sums[name] += getattr(part, name)
        for name in HISTOGRAMS:
            histograms[name] += Histogram.from_json(getattr(part, name))
    counted = sums | {name: histograms[name].to_json() for name in HISTOGRAMS}
    ids = {"agency_id": owner.agency_id, "client_id": owner.client_id}
    TrafficSpan.objects.update_or_create(**ids, **_of(series), unit=unit, begins_at=begin, defaults=counted)
