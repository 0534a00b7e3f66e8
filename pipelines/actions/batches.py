"""Examples in: lines into a batch, whoever sends them and whatever they were read from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from pipelines import usage
from pipelines.actions.refused import ActionRefused
from pipelines.actions.runs import state_of
from pipelines.domain.data_checks import Unreadable
from pipelines.models import Batch, Example, ExampleState, Source, Trust
from pipelines.records.rows import example_of, settle_by
from tenants.billing.caps import CapReached
from tenants.models import AuditEvent, CapKind, Pipeline

CHUNK = 500
CHUNK_BYTES = 4_000_000
# What people say and ask is nobody's teaching until somebody has looked at it.
LOW_TRUST = ("feedback", "traffic")
Line = bytes | Unreadable


def source_of(pipeline: Pipeline, name: str, now: datetime) -> Source:
    """The pipeline's source of this name, made when it is new."""
    trust = Trust.LOW if name in LOW_TRUST else Trust.HIGH
    fields = owner_of(pipeline) | {"trust": trust, "created_at": now}
    source, _made = Source.objects.get_or_create(pipeline=pipeline, name=name, defaults=fields)
    refuse_withdrawn(source)
    return source


def refuse_withdrawn(source: Source) -> None:
    if source.withdrawn_at is not None:
        words = {"name": source.name, "reason": source.withdrawn_reason}
        raise ActionRefused(
            _("Source %(name)s was withdrawn (%(reason)s). Bring it back before you add to it.") % words
        )


def add_examples(
    pipeline: Pipeline, lines: Iterable[bytes], *, token: str, actor: str, now: datetime, source: str = "upload"
) -> Batch:
    """NDJSON lines of a source into a batch, streamed in chunks that are each committed whole.

    The same token gives the same batch: a finished one is answered as it is, a broken-off one goes on where it stopped.
    Raises ActionRefused where a cap on bytes leaves no room, and keeps nothing of the batch: its sender has the lines.
    """
    fields = {"source": source, "created_by": actor, "created_at": now, "origin": source_of(pipeline, source, now)}
    batch, _made = Batch.objects.select_related("origin").get_or_create(
        pipeline=pipeline, token=token, defaults=owner_of(pipeline) | fields
    )
    if not batch.is_complete:
        try:
            fill(batch, lines, now)
        except CapReached as reached:
            _drop(batch)
            raise ActionRefused(str(reached)) from reached
        finish(batch, actor, now)
    return batch


@transaction.atomic
def _drop(batch: Batch) -> None:
    """A batch that nothing was made of yet, with its rows."""
    Example.objects.filter(batch=batch).delete()
    batch.delete()


def fill(batch: Batch, lines: Iterable[Line], now: datetime, told: Callable[[Batch], None] | None = None) -> None:
    """The lines that the batch does not hold yet. `told` may change the batch before each chunk is committed.

    Lines without a file count against caps, chunk by chunk: raises CapReached. A file was counted when it came.
    """
    numbered = ((n, line) for n, line in enumerate(lines, 1) if n > batch.rows)
    output = batch.pipeline.settings.criteria.output
    while chunk := _chunk(numbered):
        rows = [example_of(batch, n, line, output, now) for n, line in chunk if not _is_blank(line)]
        if told is not None:
            told(batch)
        _store(batch, rows, chunk[-1][0], 0 if batch.file_digest else sum(map(_length, chunk)))


@transaction.atomic
def finish(batch: Batch, actor: str, now: datetime) -> None:
    """From now on its rows count."""
    batch.is_complete, batch.due_at, batch.progress, batch.error = True, None, 1.0, ""
    batch.save(update_fields=["is_complete", "due_at", "progress", "error"])
    detail = {"rows": batch.rows, "quarantined": batch.quarantined, "source": batch.source}
    AuditEvent.append(batch, actor, "examples.add", f"{batch.pipeline.slug} batch {batch.pk}", now, detail)
    look_soon(batch.pipeline, now)


def look_soon(pipeline: Pipeline, now: datetime) -> None:
    """Have the triggers look at the pipeline at the next tick."""
    state = state_of(pipeline)
    state.due_at = now
    state.save(update_fields=["due_at"])


def owner_of(pipeline: Pipeline) -> dict[str, Any]:
    return {"agency_id": pipeline.agency_id, "client_id": pipeline.client_id}


def _chunk(numbered: Iterator[tuple[int, Line]]) -> list[tuple[int, Line]]:
    """The next lines, bounded in number and in bytes: a line may be a megabyte long."""
    chunk, size = [], 0
    for number, line in numbered:
        chunk.append((number, line))
        size += _length((number, line))
        if len(chunk) >= CHUNK or size >= CHUNK_BYTES:
            break
    return chunk


def _length(numbered: tuple[int, Line]) -> int:
    """Bytes of a line."""
    line = numbered[1]
    return len(line.raw if isinstance(line, Unreadable) else line)


def _is_blank(line: Line) -> bool:
    return isinstance(line, bytes) and not line.strip()


@transaction.atomic
def _store(batch: Batch, rows: Sequence[Example], last: int, size: int) -> None:
    if size:
        usage.refuse_beyond(batch, timezone.now(), CapKind.BYTES, more=size)
    batch.rows = last
    batch.line_bytes += size
    batch.quarantined += sum(row.state == ExampleState.QUARANTINED for row in rows)
    if batch.origin_id is not None:
        # Somebody may have changed or withdrawn the source since the first chunk; whoever does so now waits.
        settle_by(Source.objects.select_for_update().get(pk=batch.origin_id), rows)
    Example.objects.bulk_create(rows)
    batch.save(update_fields=["rows", "line_bytes", "quarantined", "progress", "due_at"])
