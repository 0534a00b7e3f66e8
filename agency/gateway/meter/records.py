"""Writing records: one Exchange row each, and the minute rows of Traffic. A batch that is written twice counts once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields
from datetime import datetime

from django.db import transaction
from django.utils.timezone import now

from agency.gateway.meter.judge import Record
from pipelines.domain.histogram import Histogram
from pipelines.models import Body, Exchange, Traffic
from pipelines.rollups import oldest_minute
from tenants.scope import client_scope

Minute = tuple[int, str, str, datetime]
SUMS = ("requests", "errors", "bad", "input_tokens", "output_tokens", "latency", "first_token", "is_rolled_up")
COLUMNS = tuple(field.name for field in fields(Record) if field.name != "body")
BATCH = 500


def write(client_id: int, records: Sequence[Record]) -> None:
    """Writes records of one client in one transaction. Raises django.db.Error; nothing is written then."""
    with client_scope(client_id, records[0].agency_id), transaction.atomic():
        # The commit of an earlier try may have come through although its answer was lost.
        ids = [record.request_id for record in records]
        known = set(
            Exchange.objects.filter(client_id=client_id, request_id__in=ids).values_list("request_id", flat=True)
        )
        fresh = [record for record in records if record.request_id not in known]
        rows = Exchange.objects.bulk_create([_exchange(record) for record in fresh], batch_size=BATCH)
        _add_bodies(rows, fresh)
        _add_minutes(client_id, fresh)


def _exchange(record: Record) -> Exchange:
    return Exchange(**{name: getattr(record, name) for name in COLUMNS})


def _add_bodies(rows: Sequence[Exchange], records: Sequence[Record]) -> None:
    made = [
        Body.of(row, pipeline_id=row.pipeline_id, exchange_id=row.pk, at=row.at, **asdict(record.body))
        for row, record in zip(rows, records, strict=True)
        if record.body is not None
    ]
    if made:
        Body.objects.bulk_create(made, batch_size=BATCH)


def _add_minutes(client_id: int, records: Iterable[Record]) -> None:
    minutes: dict[Minute, list[Record]] = defaultdict(list)
    for record in records:
        minute = record.at.replace(second=0, microsecond=0)
        minutes[record.version_id, record.host, record.arm, minute].append(record)
    # What an hour holds already begins anew past its days: what comes late is added to that hour.
    past = {at for *_, at in minutes if at < oldest_minute(now())}
    if past:
        Traffic.objects.filter(client_id=client_id, is_rolled_up=True, minute__in=past).delete()
    while minutes:
        # Made empty first, then locked and added to: two gateways may write the same minute. One past its days may
        # have been rolled up in between, and gone: it is made again.
        blank = [_blank(minute, rows[0]) for minute, rows in minutes.items()]
        Traffic.objects.bulk_create(blank, batch_size=BATCH, ignore_conflicts=True)
        for row in _locked(client_id, minutes):
            _add(row, minutes.pop((row.version_id, row.host, row.arm, row.minute)))
            row.save(update_fields=SUMS)


def _blank(minute: Minute, record: Record) -> Traffic:
    version_id, host, arm, at = minute
    owner = {"agency_id": record.agency_id, "client_id": record.client_id, "pipeline_id": record.pipeline_id}
    return Traffic(version_id=version_id, host=host, arm=arm, minute=at, **owner)


def _locked(client_id: int, minutes: dict[Minute, list[Record]]) -> list[Traffic]:
    """The rows of these minutes, in one order for every gateway, so that no two wait for each other."""
    found = Traffic.objects.select_for_update().filter(
        client_id=client_id,
        version_id__in={version_id for version_id, *_ in minutes},
        minute__in={at for *_, at in minutes},
    )
    return [row for row in found.order_by("pk") if (row.version_id, row.host, row.arm, row.minute) in minutes]


def _add(row: Traffic, records: Sequence[Record]) -> None:
    row.requests += len(records)
    row.errors += sum(record.is_error for record in records)
    row.bad += sum(record.is_bad is True for record in records)
    row.input_tokens += sum(record.input_tokens for record in records)
    row.output_tokens += sum(record.output_tokens for record in records)
    times = Histogram.of(record.latency_ms for record in records)
    firsts = Histogram.of(record.first_token_ms for record in records if record.first_token_ms is not None)
    row.latency = (Histogram.from_json(row.latency) + times).to_json()
    row.first_token = (Histogram.from_json(row.first_token) + firsts).to_json()
    row.is_rolled_up = False
