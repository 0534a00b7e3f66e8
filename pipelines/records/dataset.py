"""Freezing a dataset: which rows, in which order, under which digest."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from datetime import datetime

from django.db import transaction
from django.db.models import QuerySet

from pipelines.artifacts import store_of
from pipelines.models import DatasetVersion, Example, ExampleState, PipelineState, Run
from tenants.pipeline_settings import PipelineSettings


def new_rows(run: Run, settings: PipelineSettings) -> QuerySet[Example]:
    """Accepted rows that are in no dataset yet: those this run has judged, or all where validation is switched off."""
    rows = Example.objects.filter(pipeline_id=run.pipeline_id, state=ExampleState.READY, dataset__isnull=True)
    rows = rows.filter(batch__is_complete=True)
    return rows.filter(judged_in=run) if "validate" in settings.stages else rows


def existing_rows(run: Run) -> QuerySet[Example]:
    """Rows of the datasets that led to what is in production; parked ones are not among them."""
    rows = Example.objects.filter(pipeline_id=run.pipeline_id, state=ExampleState.READY, dataset__isnull=False)
    return rows.exclude(dataset__run=run)


@transaction.atomic
def freeze_dataset(run: Run, settings: PipelineSettings, now: datetime) -> DatasetVersion:
    """The run's dataset.

    An immutable JSONL artifact, sorted by content, so that the same rows give the same digest anywhere.
    """
    found = DatasetVersion.objects.filter(run=run).first()
    if found is not None:
        return found
    fresh = list(new_rows(run, settings).values_list("pk", flat=True))
    chosen = existing_rows(run) | Example.objects.filter(pipeline_id=run.pipeline_id, pk__in=fresh)
    chosen = chosen.order_by("content_digest", "id")
    labels = Counter(chosen.values_list("label", flat=True))
    fields = {"rows_total": sum(labels.values()), "rows_new": len(fresh), "labels": dict(labels), "created_at": now}
    digest = store_of(run.client_id).put_lines(_lines(chosen))
    state = PipelineState.objects.select_related("production__dataset").get(pipeline_id=run.pipeline_id)
    parent = state.production.dataset if state.production else None
    made = DatasetVersion.of(run, pipeline_id=run.pipeline_id, run=run, parent=parent, digest=digest, **fields)
    made.save()
    Example.objects.filter(pipeline_id=run.pipeline_id, pk__in=fresh).update(dataset=made)
    return made


def _lines(rows: QuerySet[Example]) -> Iterator[bytes]:
    for messages in rows.values_list("messages", flat=True).iterator(chunk_size=1000):
        yield json.dumps({"messages": messages}, ensure_ascii=False, sort_keys=True).encode()
