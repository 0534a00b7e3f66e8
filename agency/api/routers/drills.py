"""Drills: the way back, walked without moving traffic."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.utils import timezone
from ninja import Router, Status

from agency.api.auth import Key, actor_of
from agency.api.lookup import chosen_pipelines, key_in, open_pipeline
from agency.api.paging import Paged, page
from agency.api.schemas import Page, Refusal
from agency.api.schemas_changes import DrillOut
from pipelines.actions import start_drill
from pipelines.models import Drill

router = Router(tags=["rollbacks"], auth=Key("rollback"))


@router.post("/pipelines/{slug}/drills", response={201: DrillOut, 409: Refusal})
def order_drill(request: HttpRequest, slug: str) -> Status[dict[str, Any]]:
    """Rehearse the rollback that would happen now. Read the list for its result; 409 where there is no way back."""
    made = start_drill(open_pipeline(request, slug), actor=actor_of(key_in(request)), now=timezone.now())
    return Status(201, _shown(made))


@router.get("/drills", response=Page[DrillOut], auth=Key("rollback", "versions"))
def list_drills(request: HttpRequest, asked: Paged, pipeline: str | None = None) -> dict[str, Any]:
    """The drills of one pipeline or of all, with what each host showed."""
    rows = Drill.objects.filter(pipeline__in=chosen_pipelines(request, pipeline))
    return page(rows.select_related("pipeline", "from_version", "to_version"), asked, "id", _shown)


def _shown(row: Drill) -> dict[str, Any]:
    fields = ("id", "ordered_by", "is_passed", "sentence", "hosts", "created_at", "finished_at")
    names = {name: getattr(row, name).label for name in ("from_version", "to_version")}
    return {name: getattr(row, name) for name in fields} | names | {"pipeline": row.pipeline.slug}
