"""Inputs of a claimed job: which files there are, and their bytes, for whoever holds a ticket of that very claim."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from django.core import signing

from pipelines.artifacts import store_of
from pipelines.domain.transitions import JobStatus
from pipelines.heavy.children import base_folder
from pipelines.heavy.preflight import files_of
from pipelines.models import Job
from pipelines.work.errand import Errand, Input
from tenants import scope
from tenants.models import Machine

SALT = "machine input"
TICKET_S = 900
MOST_BYTES = 4 * 2**20


class TicketRefused(RuntimeError):
    """Too old, or the job is not that machine's any more: ask for new addresses, or stop."""


@dataclass(frozen=True)
class File:
    """One file of an input; `path` is empty where the input is that file."""

    name: str
    path: str
    digest: str
    size_bytes: int


def files(job: Job) -> Iterator[File]:
    """Every file of every input of the job's errand. In its client's scope."""
    for name, one in Errand.parse(job.errand).inputs.items():
        if one.kind == "base":
            yield from (File(name, path, digest, size) for path, (digest, size) in _base_files(job, one).items())
        else:
            path = store_of(job.client_id).path(one.digest)
            yield File(name, "", one.digest, path.stat().st_size)


def _base_files(job: Job, base: Input) -> dict[str, list[Any]]:
    """As the preflight read them: reading them again for every claim would keep a machine waiting."""
    checked = Job.objects.filter(run_id=job.run_id, kind="preflight").first()
    known: dict[str, list[Any]] = checked.result.get("base_files", {}) if checked else {}
    return known or files_of(base_folder(base.name))


def ticket(machine: Machine, job: Job, file: File) -> str:
    """Opens one file for this claim of this job, for a quarter of an hour."""
    claims = {"a": machine.agency_id, "m": machine.pk, "c": job.client_id, "j": job.pk, "v": job.version}
    return signing.dumps(claims | {"f": asdict(file)}, salt=SALT, compress=True)


def opened(text: str) -> tuple[Path, File]:
    """The file behind a ticket. Raises `TicketRefused`."""
    try:
        told = signing.loads(text, salt=SALT, max_age=TICKET_S)
    except signing.BadSignature as bad:
        raise TicketRefused from bad
    with scope.agency_scope(told["a"]):
        if not Machine.objects.filter(pk=told["m"], revoked_at=None).exists():
            raise TicketRefused
    with scope.client_scope(told["c"], told["a"]):
        mine = Job.objects.filter(pk=told["j"], version=told["v"], machine=told["m"], status=JobStatus.RUNNING)
        job = mine.select_related("run").first()
        if job is None:
            raise TicketRefused
        file = File(**told["f"])
        one = Errand.parse(job.errand).inputs[file.name]
        if one.kind == "base":
            return base_folder(one.name) / file.path, file
        return store_of(job.client_id).path(one.digest), file


def piece(size_bytes: int, begin: int, end: int | None) -> int:
    """How many bytes from `begin` to `end` inclusive are answered with: whoever wants the rest asks again."""
    last = size_bytes - 1 if end is None else min(end, size_bytes - 1)
    return min(last - begin + 1, MOST_BYTES)
