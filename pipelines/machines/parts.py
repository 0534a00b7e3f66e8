"""Pieces of results: each is whole or absent, checked by its digest, and may be sent again."""

from __future__ import annotations

import hashlib
from datetime import datetime

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from pipelines.artifacts import parts_of
from pipelines.machines.claims import Refused, room_left
from pipelines.models import Job, JobPart

PART_BYTES = 4 * 2**20


def have(job: Job, name: str) -> int:
    """How many bytes of the file are here: where to go on."""
    last = _parts(job, name).last()
    return last.offset + last.size_bytes if last else 0


def put(job: Job, name: str, offset: int, body: bytes, digest: str, now: datetime) -> int:
    """Keeps the piece; gives how many bytes are here now. A piece that is here already changes nothing."""
    if name not in job.errand["outputs"]:
        raise Refused(_("%(name)s was not asked for.") % {"name": name})
    if not body or len(body) > PART_BYTES:
        raise Refused(_("A piece has 1 to %(most)s bytes.") % {"most": PART_BYTES})
    if hashlib.sha256(body).hexdigest() != digest:
        raise Refused(_("The piece did not arrive as it was sent. Send it again."))
    here = have(job, name)
    if offset < here and _parts(job, name).filter(offset=offset, digest=digest).exists():
        return here
    if offset != here:
        raise Refused(_("Go on at byte %(here)s.") % {"here": here})
    if len(body) > room_left(job):
        raise Refused(_("That is more than a job may hand in."))
    parts_of(job.client_id, job.pk).put_bytes(body)
    fields = {"version": job.version, "name": name, "offset": offset, "size_bytes": len(body), "digest": digest}
    JobPart.of(job, job=job, created_at=now, **fields).save()
    return here + len(body)


def _parts(job: Job, name: str) -> QuerySet[JobPart]:
    return JobPart.objects.filter(job=job, version=job.version, name=name).order_by("offset")
