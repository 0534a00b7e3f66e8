"""Doors of agents beside hosts: what they say of themselves, calls to make of their host, files, and records back."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from ninja import Query, Router, Status
from ninja.errors import HttpError

from agency.api.schemas import Refusal
from agency.machines import ranges, taking
from agency.machines.auth import AgentToken, agent_in
from agency.machines.programs import AGENT, offered
from agency.machines.schemas import AgentIn, AgentOut, BeatOut, CallOut, HandIn, HeardIn, RecordsIn, RecordsOut
from pipelines.artifacts import ArtifactMissing
from pipelines.machines import uploads
from tenants.machines import agents, calls
from tenants.models import HostAgent, HostCall

MOST_ANSWER_BYTES = 16 * 2**20
router = Router(tags=["machines"], auth=AgentToken())


@router.post("/agent/hello", response=AgentOut)
def greet_agent(request: HttpRequest, asked: AgentIn) -> dict[str, Any]:
    """What the agent says of itself; whose it is."""
    agent = agent_in(request)
    agents.greet(agent, timezone.now(), asked.model_dump(exclude={"at"}), asked.at)
    return {"host": agent.host.name, "client": agent.client.slug, "program": offered(AGENT).told()}


@router.get("/agent/program", auth=AgentToken(is_any_protocol=True), response={200: None})
def fetch_agent(request: HttpRequest) -> HttpResponseBase:
    """The program that belongs to this installation; `X-Retune-Digest` is its SHA-256."""
    return ranges.program_file(offered(AGENT))


@router.post("/agent/calls", response={200: CallOut, 204: None})
def claim_call(request: HttpRequest, asked: HandIn) -> Status[Any]:
    """A request to make of the host; 204 when there is none."""
    agent = agent_in(request)
    call = calls.claim(agent, asked.hand, timezone.now())
    return Status(204, None) if call is None else Status(200, _told(agent, call))


def _told(agent: HostAgent, call: HostCall) -> dict[str, Any]:
    url = reverse("rest:fetch_upload", args=[uploads.ticket(agent, call)]) if call.digest else ""
    return {
        "call": call.pk,
        "method": call.method,
        "path": call.path,
        "body": bytes(call.body).decode(),
        "digest": call.digest,
        "size_bytes": call.size_bytes,
        "url": url,
        "within_s": max((call.ends_at - timezone.now()).total_seconds(), 0.0),
    }


@router.post("/agent/calls/{call}/beat", response=BeatOut)
def beat_call(request: HttpRequest, call: int, asked: HeardIn) -> dict[str, Any]:
    """Whether somebody still waits for the answer."""
    return {"go_on": calls.hear(agent_in(request), call, timezone.now(), asked.done_bytes)}


@router.put("/agent/calls/{call}/answer", response={200: BeatOut, 413: Refusal})
def answer_call(request: HttpRequest, call: int, status: Query[int], content_type: Query[str] = "") -> dict[str, Any]:
    """What the host answered, as it is; status 0 says that it did not, and why. At most 16 MiB."""
    body = request.read(MOST_ANSWER_BYTES + 1)
    if len(body) > MOST_ANSWER_BYTES:
        raise HttpError(413, _("An answer has at most %(most)s bytes.") % {"most": MOST_ANSWER_BYTES})
    said = {"status": min(max(status, 0), 599), "content_type": content_type[:100], "answer": body}
    return {"go_on": calls.answer(agent_in(request), call, timezone.now(), **said)}


@router.get("/agent/uploads/{ticket}", response={206: None, 403: Refusal, 416: Refusal}, auth=None)
def fetch_upload(request: HttpRequest, ticket: str) -> HttpResponseBase:
    """Bytes of the file of an upload, at most 4 MiB an answer. The address itself is what opens it."""
    span = ranges.asked(request)
    try:
        path, size_bytes = uploads.opened(ticket)
    except (uploads.TicketRefused, ArtifactMissing) as refused:
        raise HttpError(403, _("This address opens nothing any more: nobody waits for the upload.")) from refused
    return ranges.answer(request, path, size_bytes, span)


@router.post("/agent/records", response=RecordsOut)
def take_records(request: HttpRequest, asked: RecordsIn) -> dict[str, Any]:
    """Answers that its gateway gave. One that is here already changes nothing."""
    taken, refused = taking.take(agent_in(request), asked.records, timezone.now(), asked.sent_at)
    return {"taken": taken, "refused": refused}
