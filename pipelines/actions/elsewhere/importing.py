"""A model that somebody brings as a file: kept, and sent through verification, evaluation and every gate."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import PurePosixPath
from typing import TypedDict, Unpack

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _

from pipelines.actions.refused import ActionRefused, refuse_capped
from pipelines.actions.runs import start_run
from pipelines.artifacts import store_of
from pipelines.domain.transitions import LIVE_RUNS
from pipelines.models import Run
from tenants.models import AuditEvent, CapKind, Pipeline

LONGEST_NAME = 200
# GGUF, zip, gzip, bzip2, xz; a tar that is not compressed tells itself further on.
MAGIC = (b"GGUF", b"PK\x03\x04", b"\x1f\x8b", b"BZh", b"\xfd7zXZ")
TAR_MARK, TAR_MARK_AT = b"ustar", 257


class Said(TypedDict):
    actor: str
    reason: str
    force: bool


def import_model(pipeline: Pipeline, name: str, chunks: Iterable[bytes], *, now: datetime, **said: Unpack[Said]) -> Run:
    """A run whose model is this file; the one that is at it already, if it was sent before.

    What is in it is judged by a worker, in a child process.

    Raises ActionRefused for what is no bundle at its first look, is too large, or while no run may start.
    """
    counted = Counted(chunks)
    digest = store_of(pipeline.client_id).put_chunks(counted)
    found = Run.objects.filter(pipeline=pipeline, status__in=LIVE_RUNS).first()
    if found is not None and found.is_import and found.occasion["bundle"]["digest"] == digest:
        return found
    plain = "".join(c for c in PurePosixPath(name.replace("\\", "/")).name if c.isprintable())
    bundle = {"digest": digest, "bytes": counted.size, "name": plain[:LONGEST_NAME], "by": said["actor"]}
    bundle["at"] = now.isoformat()
    with transaction.atomic():
        refuse_capped(pipeline, now, CapKind.BYTES, more=counted.size)
        run = start_run(pipeline, now=now, kind="import", **said)
        run.occasion = run.occasion | {"bundle": bundle}
        run.save(update_fields=["occasion"])
        subject = f"{pipeline.slug} run {run.number}"
        AuditEvent.append(pipeline, said["actor"], "model.import", subject, now, bundle)
    return run


class Counted:
    """The chunks of an upload, refused by their first bytes and past the installation's limit."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks, self.size = chunks, 0

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            if not self.size:
                refuse_unknown(chunk)
            self.size += len(chunk)
            if self.size > settings.BUNDLE_BYTES:
                words = {"gb": f"{settings.BUNDLE_BYTES / 1e9:g}"}
                raise ActionRefused(_("The file is larger than %(gb)s GB. See RETUNE_BUNDLE_BYTES.") % words)
            yield chunk
        if not self.size:
            refuse_unknown(b"")


def refuse_unknown(head: bytes) -> None:
    is_tar = head[TAR_MARK_AT : TAR_MARK_AT + len(TAR_MARK)] == TAR_MARK
    if not head.startswith(MAGIC) and not is_tar:
        raise ActionRefused(_("This is neither a GGUF file nor a tar or zip of a model's folder."))
