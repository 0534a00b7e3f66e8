"""Freezing a dataset: which rows, in which order, under which digest, and the list of what they are."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from typing import IO, Any

from django.db import transaction
from django.db.models import QuerySet

from pipelines.artifacts import Store, store_of
from pipelines.models import DatasetVersion, Example, ExampleState, PipelineState, Run
from pipelines.records import shares
from tenants.pipeline_settings import PipelineSettings

COLUMNS = ("content_digest", "input_digest", "label", "batch_id", "pk", "messages")
IN_MEMORY_BYTES = 8_000_000


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
    """The run's dataset: an immutable JSONL artifact and the manifest of its rows.

    Sorted by content, so that the same rows give the same digest anywhere.
    """
    found = DatasetVersion.objects.filter(run=run).first()
    if found is not None:
        return found
    if "validate" not in settings.stages:
        shares.reconsider(run)
    new = new_rows(run, settings)
    left_out = shares.leave_out_excess(run, existing_rows(run) | new)
    state = PipelineState.objects.select_related("production__dataset").get(pipeline_id=run.pipeline_id)
    parent = state.production.dataset if state.production else None
    made = DatasetVersion.of(run, pipeline_id=run.pipeline_id, run=run, parent=parent, created_at=now)
    made.rows_new, made.left_out = new.count(), left_out
    write_artifacts(made, existing_rows(run) | new, store_of(run.client_id))
    made.save()
    new.update(dataset=made)
    return made


@dataclass
class Tally:
    """What is counted while the rows are written."""

    manifest: IO[bytes]
    labels: Counter[str] = field(default_factory=Counter)
    batches: Counter[str] = field(default_factory=Counter)

    def write(self, rows: QuerySet[Example]) -> Iterator[bytes]:
        """The lines that are trained on. Rows of equal content stand by their bytes: an id is one machine's own."""
        ordered = rows.order_by("content_digest", "id").values_list(*COLUMNS).iterator(chunk_size=1000)
        for _digest, group in groupby(ordered, key=lambda row: row[0]):
            for line, facts in sorted((_line(messages), facts) for *facts, messages in group):
                self._count(facts)
                yield line

    def _count(self, facts: list[Any]) -> None:
        _content, _input, label, batch_id, _pk = facts
        self.labels[label] += 1
        self.batches[str(batch_id)] += 1
        self.manifest.write(json.dumps(facts, ensure_ascii=False).encode() + b"\n")


def write_artifacts(made: DatasetVersion, rows: QuerySet[Example], store: Store) -> None:
    """Fills in digest, manifest and counts. Rows are read once and never all at once."""
    with tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES) as listed:
        tally = Tally(listed)
        made.digest = store.put_lines(tally.write(rows))
        made.labels, made.batches = dict(tally.labels), dict(tally.batches)
        made.rows_total = sum(tally.labels.values())
        listed.seek(0)
        made.manifest = store.put_chunks(_manifest(made, listed))


def _manifest(made: DatasetVersion, listed: IO[bytes]) -> Iterator[bytes]:
    """A line about the dataset, then one a row: content digest, input digest, label, upload, row."""
    head = {
        "dataset": made.digest,
        "rows": made.rows_total,
        "new": made.rows_new,
        "labels": made.labels,
        "uploads": made.batches,
        "left_out": made.left_out,
        "parent": made.parent.digest if made.parent else None,
        "run": made.run.number,
        "settings": made.run.revision.digest,
        "columns": ["content_digest", "input_digest", "label", "upload", "row"],
    }
    yield json.dumps(head, ensure_ascii=False, sort_keys=True).encode() + b"\n"
    yield from listed


def _line(messages: list[dict[str, str]]) -> bytes:
    return json.dumps({"messages": messages}, ensure_ascii=False, sort_keys=True).encode()
