"""Waivers of gates: read them, make one, end one."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.http import HttpRequest
from django.utils import timezone
from ninja import Router, Status

from agency.api.auth import Key, actor_of
from agency.api.lookup import key_in, one, open_pipeline
from agency.api.paging import Paged, page
from agency.api.schemas import Page, PauseIn, Refusal
from agency.api.schemas_changes import WaiverEnded, WaiverIn, WaiverOut
from pipelines.actions import waive_gate, withdraw_waiver, withdrawn_words
from pipelines.models import Waiver

router = Router(tags=["waivers"], auth=Key("waivers"))


@router.get("/pipelines/{slug}/waivers", response={200: Page[WaiverOut], 404: Refusal}, auth=Key("waivers", "versions"))
def list_waivers(request: HttpRequest, slug: str, asked: Paged) -> dict[str, Any]:
    """Waivers of the pipeline's gates, the latest first; those that ended too."""
    return page(Waiver.objects.filter(pipeline=open_pipeline(request, slug)), asked, "id", _shown)


@router.post("/pipelines/{slug}/waivers", response={201: WaiverOut, 404: Refusal, 409: Refusal})
def order_waiver(request: HttpRequest, slug: str, asked: WaiverIn) -> Status[dict[str, Any]]:
    """For so many days the verdicts of this blocking gate are shown and do not decide; the key answers for it."""
    pipeline, now = open_pipeline(request, slug), timezone.now()
    by, until = actor_of(key_in(request)), now + timedelta(days=asked.days)
    made = waive_gate(pipeline, asked.gate, actor=by, reason=asked.reason, expires_at=until, now=now)
    return Status(201, _shown(made))


@router.post("/pipelines/{slug}/waivers/{int:waiver}/end", response={200: WaiverEnded, 404: Refusal, 409: Refusal})
def end_waiver(request: HttpRequest, slug: str, waiver: int, asked: PauseIn) -> dict[str, Any]:
    """The gate decides again from the next verdict on, unless another waiver of it holds: `said` says which."""
    rows, now = Waiver.objects.filter(pipeline=open_pipeline(request, slug)), timezone.now()
    withdraw_waiver(one(rows, pk=waiver), actor=actor_of(key_in(request)), reason=asked.reason, now=now)
    row = one(rows.all(), pk=waiver)
    return _shown(row) | {"said": withdrawn_words(row, now)}


def _shown(row: Waiver) -> dict[str, Any]:
    fields = ("id", "gate", "approver", "reason", "created_at", "expires_at", "withdrawn_at", "withdrawn_by")
    return {name: getattr(row, name) for name in fields} | {"in_force": row.is_in_force(timezone.now())}
