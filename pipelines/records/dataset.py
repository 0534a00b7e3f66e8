"""What a dataset is: which rows, in which order, under which digest, and the list of what they are."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby, islice
from typing import IO, Any

from django.db.models import QuerySet

from pipelines.artifacts import Store, store_of
from pipelines.models import DatasetVersion, Example, ExampleState, Run
from tenants.pipeline_settings import PipelineSettings

COLUMNS = ("content_digest", "input_digest", "label", "batch_id", "pk", "dataset_id", "messages")
CLAIMED_AT_ONCE = 500
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


def claim_rows(made: DatasetVersion) -> None:
    """The new rows of the dataset are marked as its own, a few at a time, by its manifest."""
    rows = listed(made)
    while some := list(islice(rows, CLAIMED_AT_ONCE)):
        Example.objects.filter(pipeline_id=made.pipeline_id, pk__in=some, dataset__isnull=True).update(dataset=made)


def listed(made: DatasetVersion) -> Iterator[int]:
    """The rows of its manifest."""
    return (row for _content, row in contents(made))


def contents(made: DatasetVersion) -> Iterator[tuple[str, int]]:
    """(content digest, row) of each line of its manifest. Raises ArtifactMissing."""
    return ((content, row) for content, *_between, row in _entries(made))


def questions(made: DatasetVersion) -> Iterator[str]:
    """The input digests of its manifest; none where that is gone."""
    if store_of(made.client_id).has(made.manifest):
        yield from (asked for _content, asked, *_facts in _entries(made))


def _entries(made: DatasetVersion) -> Iterator[list[Any]]:
    with store_of(made.client_id).path(made.manifest).open("rb") as lines:
        next(lines)
        yield from map(json.loads, lines)


@dataclass
class Tally:
    """What is counted while the rows are written."""

    manifest: IO[bytes]
    labels: Counter[str] = field(default_factory=Counter)
    batches: Counter[str] = field(default_factory=Counter)
    new: int = 0

    def write(self, rows: QuerySet[Example]) -> Iterator[bytes]:
        """The lines that are trained on. Rows of equal content stand by their bytes: an id is one machine's own."""
        ordered = rows.order_by("content_digest", "id").values_list(*COLUMNS).iterator(chunk_size=1000)  # One look.
        for _digest, group in groupby(ordered, key=lambda row: row[0]):
            for line, facts in sorted((_line(messages), facts) for *facts, messages in group):
                self._count(facts)
                yield line

    def _count(self, facts: list[Any]) -> None:
        *listed, dataset_id = facts
        _content, _input, label, batch_id, _pk = listed
        self.labels[label] += 1
        self.batches[str(batch_id)] += 1
        self.new += dataset_id is None
        self.manifest.write(json.dumps(listed, ensure_ascii=False).encode() + b"\n")


def write_artifacts(made: DatasetVersion, rows: QuerySet[Example], store: Store) -> None:
    """Fills in digest, manifest and counts. Rows are read once and never all at once."""
    with tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES) as listed:
        tally = Tally(listed)
        made.digest = store.put_lines(tally.write(rows))
        made.labels, made.batches = dict(tally.labels), dict(tally.batches)
        made.rows_total, made.rows_new = sum(tally.labels.values()), tally.new
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
