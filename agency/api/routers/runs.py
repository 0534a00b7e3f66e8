"""Runs: start one, and read how they went. Approval stays with people."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ObjectDoesNotExist
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from ninja import Query, Router, Status
from ninja.errors import HttpError

from agency.api.auth import Key, actor_of
from agency.api.lookup import key_in, open_pipeline, open_run, open_version
from agency.api.ndjson import CutOff, announced_chunks
from agency.api.paging import Paged, page
from agency.api.schemas import AgainIn, ModelIn, Page, Refusal, RunDetail, RunIn, RunOut
from pipelines.actions import ActionRefused, read_prompt, rerun_from, start_prompt_run, start_run
from pipelines.actions.elsewhere import import_model
from pipelines.models import Check, Run
from tenants.models import Pipeline

router = Router(tags=["runs"], auth=Key("runs"))


@router.post("/pipelines/{slug}/runs", response={201: RunOut, 409: Refusal})
def order_run(request: HttpRequest, slug: str, asked: RunIn) -> Status[dict[str, Any]]:
    """Start a run. Refused (409) while one is live, or during the cooldown unless forced with a reason."""
    pipeline, actor = open_pipeline(request, slug), actor_of(key_in(request))
    said: dict[str, Any] = {"actor": actor, "reason": asked.reason, "now": timezone.now(), "force": asked.force}
    if asked.prompt is None:
        return Status(201, shown(start_run(pipeline, **said, kind="api")))
    wanted = asked.prompt.version
    parent = open_version(request, slug, _production(pipeline) if wanted is None else wanted)
    prompt = read_prompt(asked.prompt.system, asked.prompt.replaces, asked.prompt.parameters)
    return Status(201, shown(start_prompt_run(parent, prompt, **said)))


MODEL_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


@router.post(
    "/pipelines/{slug}/models",
    response={201: RunOut, 400: Refusal, 409: Refusal, 422: Refusal},
    openapi_extra=MODEL_BODY,
)
def import_a_model(request: HttpRequest, slug: str, asked: Query[ModelIn]) -> Status[dict[str, Any]]:
    """Bring a model that was trained elsewhere: a GGUF, or a tar or zip of an adapter's or a merged model's folder.

    The body is the file itself, streamed with its Content-Length. A run judges it by every gate. Sent again while that
    run is live, the same file answers with the same run.
    """
    pipeline, actor = open_pipeline(request, slug), actor_of(key_in(request))
    chunks = announced_chunks(request.read, int(request.headers.get("Content-Length") or 0))
    said: dict[str, Any] = {"actor": actor, "reason": asked.reason, "force": asked.force}
    try:
        return Status(201, shown(import_model(pipeline, asked.name, chunks, now=timezone.now(), **said)))
    except CutOff as cut:
        raise HttpError(400, _("The file did not arrive whole; nothing of it was kept. Send it again.")) from cut


def _production(pipeline: Pipeline) -> int:
    if pipeline.state.production is None:
        raise ActionRefused(_("Nothing is in production yet: name the version whose weights the prompt is for."))
    return pipeline.state.production.number


@router.get("/pipelines/{slug}/runs", response=Page[RunOut])
def list_runs(request: HttpRequest, slug: str, asked: Paged) -> dict[str, Any]:
    """Runs of the pipeline, the latest first."""
    rows = Run.objects.filter(pipeline=open_pipeline(request, slug)).select_related("model_version")
    return page(rows, asked, "number", shown)


@router.get("/pipelines/{slug}/runs/{int:number}", response=RunDetail)
def read_run(request: HttpRequest, slug: str, number: int) -> dict[str, Any]:
    """One run: its stages, jobs with progress, gates, checks of the rollout, and every event."""
    run = open_run(request, slug, number)
    parts = {"stages": run.stages.all(), "jobs": run.jobs.all(), "gates": run.gates.all(), "events": run.events.all()}
    checks = Check.objects.filter(rollout__run=run)
    return shown(run) | {name: list(rows) for name, rows in (parts | {"checks": checks}).items()}


@router.post("/pipelines/{slug}/runs/{int:number}/again", response={201: RunOut, 409: Refusal})
def order_rerun(request: HttpRequest, slug: str, number: int, asked: AgainIn) -> Status[dict[str, Any]]:
    """Go on with a run that broke, from a stage of it. What checks or gates turned down takes a person (409)."""
    run, actor = open_run(request, slug, number), actor_of(key_in(request))
    said: dict[str, Any] = {"actor": actor, "reason": asked.reason, "now": timezone.now()}
    return Status(201, shown(rerun_from(run, asked.stage, by_key=True, **said)))


def shown(run: Run) -> dict[str, Any]:
    fields = ("number", "status", "stage", "reason", "verdict", "occasion", "created_at", "finished_at")
    return {name: getattr(run, name) for name in fields} | {"version": _version(run)}


def _version(run: Run) -> str | None:
    try:
        label: str = run.model_version.label
    except ObjectDoesNotExist:
        return None
    return label
