"""Examples in, and what a person decides about quarantined or parked ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from pipelines.actions.refused import ActionRefused
from pipelines.actions.runs import state_of
from pipelines.models import Batch, Example, ExampleState
from pipelines.records.rows import example_of
from tenants.models import AuditEvent, Pipeline

CHUNK = 500
CHUNK_BYTES = 4_000_000


def add_examples(
    pipeline: Pipeline, lines: Iterable[bytes], *, token: str, actor: str, now: datetime, source: str = "upload"
) -> Batch:
    """NDJSON lines into a batch, streamed in chunks that are each committed whole.

    The same token gives the same batch: a finished one is answered as it is, a broken-off one goes on where it stopped.
    """
    batch, _made = Batch.objects.get_or_create(
        pipeline=pipeline,
        token=token,
        defaults=_owner(pipeline) | {"source": source, "created_by": actor, "created_at": now},
    )
    if batch.is_complete:
        return batch
    numbered = ((n, line) for n, line in enumerate(lines, 1) if n > batch.rows)
    while chunk := _chunk(numbered):
        _store(batch, chunk, now)
    with transaction.atomic():
        batch.is_complete = True
        batch.save(update_fields=["is_complete"])
        detail = {"rows": batch.rows, "quarantined": batch.quarantined, "source": source}
        AuditEvent.append(pipeline, actor, "examples.add", f"{pipeline.slug} batch {batch.pk}", now, detail)
        look_soon(pipeline, now)
    return batch


def _chunk(numbered: Iterator[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    """The next lines, bounded in number and in bytes: a line may be a megabyte long."""
    chunk, size = [], 0
    for number, line in numbered:
        chunk.append((number, line))
        size += len(line)
        if len(chunk) >= CHUNK or size >= CHUNK_BYTES:
            break
    return chunk


def look_soon(pipeline: Pipeline, now: datetime) -> None:
    """Have the triggers look at the pipeline at the next tick."""
    state = state_of(pipeline)
    state.due_at = now
    state.save(update_fields=["due_at"])


def _owner(pipeline: Pipeline) -> dict[str, Any]:
    return {"agency_id": pipeline.agency_id, "client_id": pipeline.client_id}


@transaction.atomic
def _store(batch: Batch, chunk: Sequence[tuple[int, bytes]], now: datetime) -> None:
    output = batch.pipeline.settings.criteria.output
    rows = [example_of(batch, number, line, output, now) for number, line in chunk if line.strip()]
    Example.objects.bulk_create(rows)
    batch.rows = chunk[-1][0]
    batch.quarantined += sum(row.state == ExampleState.QUARANTINED for row in rows)
    batch.save(update_fields=["rows", "quarantined"])


@transaction.atomic
def release_rows(pipeline: Pipeline, *, ids: Sequence[int], actor: str, reason: str, now: datetime) -> int:
    """Quarantined, left-out or parked rows may train again; malformed ones cannot. Returns how many changed."""
    states = (ExampleState.QUARANTINED, ExampleState.LEFT_OUT, ExampleState.PARKED, ExampleState.DISCARDED)
    rows = (
        Example.objects.filter(pipeline=pipeline, pk__in=ids, state__in=states)
        .exclude(content_digest="")
        .exclude(rule="leakage")
    )
    fields = {"state": ExampleState.READY, "rule": "", "detail": reason, "judged_in": None, "dataset": None}
    changed = rows.update(**fields)
    _record(pipeline, "rows.release", changed, reason, actor=actor, now=now)
    look_soon(pipeline, now)
    return changed


@transaction.atomic
def discard_rows(pipeline: Pipeline, *, ids: Sequence[int], actor: str, reason: str, now: datetime) -> int:
    """Rows that shall never train. Reversible by release."""
    states = (ExampleState.QUARANTINED, ExampleState.LEFT_OUT, ExampleState.PARKED)
    changed = Example.objects.filter(pipeline=pipeline, pk__in=ids, state__in=states).update(
        state=ExampleState.DISCARDED
    )
    _record(pipeline, "rows.discard", changed, reason, actor=actor, now=now)
    return changed


def _record(pipeline: Pipeline, verb: str, changed: int, reason: str, *, actor: str, now: datetime) -> None:
    if not reason.strip():
        raise ActionRefused(_("Say why: the reason is kept in the ledger."))
    AuditEvent.append(pipeline, actor, verb, pipeline.slug, now, {"rows": changed, "reason": reason})
