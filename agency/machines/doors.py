"""Jobs over HTTPS: a machine says what it has, claims, fetches, beats, hands in. It connects out, nobody to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from ninja import Query, Router, Status
from ninja.errors import HttpError

from agency.api.schemas import Refusal
from agency.machines import ranges
from agency.machines.auth import Token, agency_of, machine_in
from agency.machines.programs import WORKER, offered
from agency.machines.schemas import (
    AbilitiesIn,
    AgainIn,
    BeatIn,
    BeatOut,
    ClaimIn,
    ClaimOut,
    FailedIn,
    HandedIn,
    InputOut,
    MachineOut,
    Ok,
    PartsOut,
)
from pipelines.artifacts import ArtifactMissing
from pipelines.engine.jobs import Work
from pipelines.machines import claims, inputs, parts
from pipelines.machines.claims import NotYours, Refused
from pipelines.work.errand import Errand
from tenants.machines import note_seen
from tenants.models import Machine

router = Router(tags=["machines"], auth=Token())


@contextmanager
def held(request: HttpRequest, job: int, version: int) -> Iterator[Work]:
    """The caller's job: 410 when it is that no more, 409 with the reason when it cannot be done so."""
    try:
        with claims.held(machine_in(request), job, version) as work:
            yield work
    except NotYours as late:
        raise HttpError(410, _("This job is not yours any more: throw away what you have of it.")) from late
    except Refused as refused:
        raise HttpError(409, str(refused)) from refused


@router.post("/machine/hello", response=MachineOut)
def greet_machine(request: HttpRequest, asked: AbilitiesIn) -> dict[str, Any]:
    """What the machine has; what the agency says of it."""
    machine = machine_in(request)
    note_seen(machine, timezone.now(), asked.model_dump())
    return {
        "name": machine.name,
        "queues": machine.queues,
        "is_trusted": machine.is_trusted,
        "is_paused": not machine.is_working,
        "lease_s": settings.JOB_LEASE_S,
        "part_bytes": parts.PART_BYTES,
        "program": offered(WORKER).told(),
    }


@router.get("/machine/program", auth=Token(is_any_protocol=True), response={200: None})
def fetch_worker(request: HttpRequest) -> HttpResponseBase:
    """The program that belongs to this installation; `X-Retune-Digest` is its SHA-256."""
    return ranges.program_file(offered(WORKER))


@router.post("/machine/claim", response={200: ClaimOut, 204: None})
def claim_job(request: HttpRequest, asked: ClaimIn) -> Status[Any]:
    """A job that is due and fits; 204 when there is none. Asked again in the same session: the one that it has."""
    machine = machine_in(request)
    if not machine.is_working:
        return Status(204, None)
    with agency_of(request):
        work = claims.claim(machine, asked.session, timezone.now())
    return Status(204, None) if work is None else Status(200, _told(request, work))


def _told(request: HttpRequest, work: Work) -> dict[str, Any]:
    job = work.job
    with held(request, job.pk, job.version):
        return {
            "job": job.pk,
            "version": job.version,
            "kind": job.kind,
            "attempt": job.attempts,
            "steps": job.errand["steps"],
            "outputs": job.errand["outputs"],
            "inputs": _inputs(machine_in(request), work),
        }


def _inputs(machine: Machine, work: Work) -> list[dict[str, Any]]:
    kinds = {name: one.kind for name, one in Errand.parse(work.job.errand).inputs.items()}
    return [
        {
            "name": file.name,
            "kind": kinds[file.name],
            "path": file.path,
            "digest": file.digest,
            "size_bytes": file.size_bytes,
            "url": reverse("rest:fetch_input", args=[inputs.ticket(machine, work.job, file)]),
        }
        for file in inputs.files(work.job)
    ]


@router.post("/machine/jobs/{job}/inputs", response={200: list[InputOut], 409: Refusal, 410: Refusal})
def list_inputs(request: HttpRequest, job: int, asked: AgainIn) -> list[dict[str, Any]]:
    """The inputs again, with addresses that open from now on."""
    with held(request, job, asked.version) as work:
        return _inputs(machine_in(request), work)


@router.get("/machine/inputs/{ticket}", response={206: None, 403: Refusal, 416: Refusal}, auth=None)
def fetch_input(request: HttpRequest, ticket: str) -> HttpResponseBase:
    """Bytes of one file, at most 4 MiB an answer. The address itself is what opens it."""
    span = ranges.asked(request)
    try:
        path, file = inputs.opened(ticket)
    except (inputs.TicketRefused, ArtifactMissing) as refused:
        raise HttpError(403, _("This address opens nothing any more: ask for the inputs again.")) from refused
    return ranges.answer(request, path, file.size_bytes, span)


@router.post("/machine/jobs/{job}/beat", response={200: BeatOut, 409: Refusal, 410: Refusal})
def beat_job(request: HttpRequest, job: int, asked: BeatIn) -> dict[str, Any]:
    """Keeps the job; tells whether to go on."""
    with held(request, job, asked.version) as work:
        return {"go_on": claims.beat(work, asked.progress, asked.note, asked.numbers, timezone.now())}


@router.get("/machine/jobs/{job}/parts/{name}", response={200: PartsOut, 409: Refusal, 410: Refusal})
def read_parts(request: HttpRequest, job: int, name: str, version: Query[int]) -> dict[str, Any]:
    """How much of a file is here already."""
    with held(request, job, version) as work:
        return {"size_bytes": parts.have(work.job, name)}


@router.put("/machine/jobs/{job}/parts/{name}", response={200: PartsOut, 409: Refusal, 410: Refusal})
def put_part(
    request: HttpRequest, job: int, name: str, version: Query[int], offset: Query[int], digest: Query[str]
) -> dict[str, Any]:
    """A piece of a file: at most 4 MiB, at the byte where the last one ended, with its SHA-256."""
    body = request.read(parts.PART_BYTES + 1)
    with held(request, job, version) as work:
        return {"size_bytes": parts.put(work.job, name, offset, body, digest, timezone.now())}


@router.post("/machine/jobs/{job}/done", response={200: Ok, 409: Refusal, 410: Refusal})
def hand_in_job(request: HttpRequest, job: int, asked: HandedIn) -> dict[str, Any]:
    """The machine is through: from here on a worker of the installation looks at what it made."""
    outputs = {name: one.model_dump() for name, one in asked.outputs.items()}
    with held(request, job, asked.version) as work:
        claims.hand_in(work, machine_in(request), asked.said, outputs, timezone.now())
    return {"ok": True}


@router.post("/machine/jobs/{job}/failed", response={200: Ok, 409: Refusal, 410: Refusal})
def fail_job(request: HttpRequest, job: int, asked: FailedIn) -> dict[str, Any]:
    """It could not be done: again later while attempts are left."""
    with held(request, job, asked.version) as work:
        claims.fail(work, asked.error, asked.permanent, asked.log_tail, timezone.now())
    return {"ok": True}
