"""Files in: kept as they came, read by a mapping that their source remembers, into a batch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _

from pipelines.actions.batches import fill, finish, owner_of, refuse_withdrawn, source_of
from pipelines.actions.refused import ActionRefused, refuse_capped
from pipelines.artifacts import store_of
from pipelines.engine import dispatch
from pipelines.engine.kernel import Clock
from pipelines.imports import BadFile, Mapping
from pipelines.imports.sniffing import remembered
from pipelines.models import Batch, Example, Source
from pipelines.records.files import mapping_of, opened
from tenants.models import CapKind, Pipeline

CHUNK = 2000
MAX_ATTEMPTS = 3


def stage_file(
    pipeline: Pipeline, source: str, name: str, chunks: Iterable[bytes], *, actor: str, now: datetime
) -> Batch:
    """A file as a draft: stored under its digest, not read yet."""
    origin = source_of(pipeline, source, now)
    store = store_of(pipeline.client_id)
    digest = store.put_chunks(chunks)
    path, known = store.path(digest), origin.mapping
    reading = remembered(path, Mapping.model_validate(known)).model_dump() if known else {}
    fields: dict[str, Any] = {"file_digest": digest, "file_bytes": path.stat().st_size, "reading": reading}
    fields |= {"source": name[:100], "created_by": actor, "created_at": now}
    owned = owner_of(pipeline) | {"pipeline": pipeline, "origin": origin, "token": _draft_token()}
    with transaction.atomic():
        refuse_capped(pipeline, now, CapKind.BYTES, more=fields["file_bytes"])
        return Batch.objects.create(**owned, **fields)


def start_import(batch: Batch, mapping: Mapping, *, now: datetime, by_worker: bool = True) -> Batch:
    """Has a worker read the draft; or leaves it due, for the caller to read.

    Raises `BadFile` where it is clear that the file cannot be read so. A file that was read so before is that batch.
    """
    found = opened(batch, mapping)
    next(found.lines(), None)
    with transaction.atomic():
        origin = Source.objects.select_for_update().get(pk=batch.origin_id)  # One at a time: pages are clicked twice.
        refuse_withdrawn(origin)
        draft = _still_there(batch)
        if not draft.is_draft:
            return draft
        draft.token = _token(draft, found.mapping)
        known = Batch.objects.filter(pipeline=draft.pipeline, token=draft.token).exclude(pk=draft.pk).first()
        if known is not None:
            return _same(draft, known)
        draft.reading, draft.error, draft.due_at, draft.attempts = found.mapping.model_dump(), "", now, 0
        draft.save()
        origin.mapping = mapping.model_dump()
        origin.save(update_fields=["mapping"])
        if by_worker:
            dispatch.read_file(draft.client_id, draft.pk)
    return draft


def _still_there(batch: Batch) -> Batch:
    found = Batch.objects.select_for_update(of=("self",)).select_related("pipeline").filter(pk=batch.pk).first()
    if found is None:
        raise ActionRefused(_("Somebody discarded this file meanwhile. Send it again."))
    return found


def _draft_token() -> str:
    """Of a file that nothing was read of: the same file may be sent and read all the same."""
    return f"draft-{uuid4().hex}"


def _token(batch: Batch, mapping: Mapping) -> str:
    said = f"{batch.origin_id} {batch.file_digest} {mapping.model_dump_json()}"
    return f"file-{hashlib.sha256(said.encode()).hexdigest()}"


def _same(draft: Batch, known: Batch) -> Batch:
    if known.withdrawn_at is not None:
        words = {"n": known.pk, "reason": known.withdrawn_reason}
        raise ActionRefused(
            _("This file was upload %(n)s and was undone (%(reason)s). Bring that back instead.") % words
        )
    draft.delete()
    return known


def read_file(batch_id: int, clock: Clock) -> None:
    """One worker's attempt at a file that is due; what a lost worker stored is not stored again."""
    batch = _claim(batch_id, clock())
    if batch is None:
        return
    if batch.attempts > MAX_ATTEMPTS:
        _give_up(batch, _("Reading was begun %(n)s times and never came to an end.") % {"n": MAX_ATTEMPTS})
        return
    try:
        found = opened(batch, mapping_of(batch))
        fill(batch, found.lines(), clock(), lambda row: _still_reading(row, found.reader.share, clock()))
    except BadFile as error:
        _give_up(batch, str(error))
        return
    finish(batch, batch.created_by, clock())


def _claim(batch_id: int, now: datetime) -> Batch | None:
    due = Batch.objects.filter(pk=batch_id, due_at__lte=now, is_complete=False)
    batch = due.select_related("pipeline__revision", "origin").first()
    if batch is None or not due.filter(due_at=batch.due_at).update(due_at=_lease(now), attempts=batch.attempts + 1):
        return None
    batch.due_at, batch.attempts = _lease(now), batch.attempts + 1
    return batch


def _lease(now: datetime) -> datetime:
    return now + timedelta(seconds=settings.JOB_LEASE_S)


def _still_reading(batch: Batch, share: float, now: datetime) -> None:
    batch.progress, batch.due_at = share, _lease(now)


def _give_up(batch: Batch, why: str) -> None:
    """A draft again, with the reason: of a file that cannot be read to its end nothing is kept."""
    while ids := list(Example.objects.filter(batch=batch).values_list("pk", flat=True)[:CHUNK]):
        Example.objects.filter(pk__in=ids).delete()
    batch.error, batch.due_at, batch.rows, batch.quarantined, batch.progress = why, None, 0, 0, 0.0
    batch.token = _draft_token()
    batch.save()


@transaction.atomic
def discard_draft(batch: Batch) -> None:
    """Forgets a file that was sent and not read."""
    found = _still_there(batch)
    if not found.is_draft:
        raise ActionRefused(_("It is being read, or it is read already: undo it instead."))
    found.delete()


def chunks_of(path: Path, size: int = 1 << 20) -> Iterable[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(size):
            yield chunk
