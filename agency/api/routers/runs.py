"""Runs: start one, and read how they went. Approval stays with people."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ObjectDoesNotExist
from django.http import HttpRequest
from django.utils import timezone
from ninja import Router, Status

from agency.api.auth import Key, actor_of
from agency.api.lookup import key_in, open_pipeline, open_run
from agency.api.paging import Paged, page
from agency.api.schemas import Page, Refusal, RunDetail, RunIn, RunOut
from pipelines.actions import start_run
from pipelines.models import Check, Run

router = Router(tags=["runs"], auth=Key("runs"))


@router.post("/pipelines/{slug}/runs", response={201: RunOut, 409: Refusal})
def order_run(request: HttpRequest, slug: str, asked: RunIn) -> Status[dict[str, Any]]:
    """Start a run. Refused (409) while one is live, or during the cooldown unless forced with a reason."""
    pipeline, actor = open_pipeline(request, slug), actor_of(key_in(request))
    now = timezone.now()
    run = start_run(pipeline, actor=actor, now=now, reason=asked.reason, force=asked.force, kind="api")
    return Status(201, shown(run))


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


def shown(run: Run) -> dict[str, Any]:
    fields = ("number", "status", "stage", "reason", "verdict", "occasion", "created_at", "finished_at")
    return {name: getattr(run, name) for name in fields} | {"version": _version(run)}


def _version(run: Run) -> str | None:
    try:
        label: str = run.model_version.label
    except ObjectDoesNotExist:
        return None
    return label
