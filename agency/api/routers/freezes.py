"""Freezes: read them, set one on a pipeline or the client, lift it."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.utils import timezone
from ninja import Router, Status

from agency.api.auth import Key, actor_of
from agency.api.lookup import client_in, key_in, one, open_pipeline
from agency.api.paging import Paged, page
from agency.api.schemas import Page, PauseIn, Refusal
from agency.api.schemas_changes import FreezeIn, FreezeLifted, FreezeOut
from pipelines.actions import ActionRefused
from tenants import freezing
from tenants.models import Freeze

router = Router(tags=["freezes"], auth=Key("runs"))


@router.get("/freezes", response=Page[FreezeOut])
def list_freezes(request: HttpRequest, asked: Paged) -> dict[str, Any]:
    """Freezes of the client and its pipelines, the latest first; the agency's own hold too and are not listed."""
    return page(
        Freeze.objects.filter(client=client_in(request)).select_related("client", "pipeline"), asked, "id", _shown
    )


@router.post("/freezes", response={201: FreezeOut, 404: Refusal, 409: Refusal})
def set_freeze(request: HttpRequest, asked: FreezeIn) -> Status[dict[str, Any]]:
    """No version is placed or gets more traffic until it is lifted. Rollbacks never wait."""
    place = open_pipeline(request, asked.pipeline) if asked.pipeline else client_in(request)
    by, now = actor_of(key_in(request)), timezone.now()
    try:
        return Status(
            201, _shown(freezing.freeze(place, actor=by, reason=asked.reason, now=now, ends_at=asked.ends_at))
        )
    except freezing.FreezeRefused as refused:
        raise ActionRefused(str(refused)) from refused


@router.post("/freezes/{int:freeze}/lift", response={200: FreezeLifted, 404: Refusal, 409: Refusal})
def lift_freeze(request: HttpRequest, freeze: int, asked: PauseIn) -> dict[str, Any]:
    """Rollouts that wait for it go on at their next look, unless another freeze holds them: `said` says which."""
    rows = Freeze.objects.filter(client=client_in(request)).select_related("client", "pipeline")
    row = one(rows, pk=freeze)
    try:
        freezing.lift(row, actor=actor_of(key_in(request)), reason=asked.reason, now=timezone.now())
    except freezing.FreezeRefused as refused:
        raise ActionRefused(str(refused)) from refused
    return _shown(one(rows.all(), pk=freeze)) | {"said": freezing.lifted_words(row, timezone.now())}


def _shown(row: Freeze) -> dict[str, Any]:
    fields = ("id", "reason", "actor", "created_at", "ends_at", "lifted_at", "lifted_by")
    place = {"pipeline": row.pipeline.slug if row.pipeline else None, "in_force": row.is_in_force(timezone.now())}
    return {name: getattr(row, name) for name in fields} | place
