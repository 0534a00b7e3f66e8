"""Rollbacks: order one, and read the log."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.utils import timezone
from ninja import Router, Status

from agency.api.auth import Key, actor_of
from agency.api.lookup import chosen_pipelines, key_in, open_pipeline, open_version
from agency.api.paging import Paged, page
from agency.api.schemas import Page, Refusal, RollbackIn, RollbackOut
from pipelines.actions import roll_back
from pipelines.models import Rollback

router = Router(tags=["rollbacks"], auth=Key("rollback"))


@router.post("/pipelines/{slug}/rollback", response={201: RollbackOut, 409: Refusal})
def order_rollback(request: HttpRequest, slug: str, asked: RollbackIn) -> Status[dict[str, Any]]:
    """Move all traffic back, to the version given or to the one before. Gateways follow within a second.

    A version that hosts do not keep loaded is placed and asked first: then `flipped_at` is null in the answer.
    Without a version it is refused within two minutes of another rollback: an order sent twice goes back once.
    """
    pipeline, actor = open_pipeline(request, slug), actor_of(key_in(request))
    target = open_version(request, slug, asked.to) if asked.to is not None else None
    return Status(201, _shown(roll_back(pipeline, to=target, actor=actor, reason=asked.reason, now=timezone.now())))


@router.get("/rollbacks", response=Page[RollbackOut], auth=Key("rollback", "versions"))
def list_rollbacks(request: HttpRequest, asked: Paged, pipeline: str | None = None) -> dict[str, Any]:
    """The rollback log of one pipeline or of all, with the numbers of each decision."""
    rows = Rollback.objects.filter(pipeline__in=chosen_pipelines(request, pipeline))
    return page(rows.select_related("pipeline", "from_version", "to_version"), asked, "id", _shown)


def _shown(row: Rollback) -> dict[str, Any]:
    fields = ("id", "phase", "metric", "sentence", "numbers", "decided_by", "decided_at", "flipped_at", "seconds")
    names = {
        "pipeline": row.pipeline.slug,
        "from_version": row.from_version.label,
        "to_version": row.to_version.label if row.to_version else None,
    }
    return {name: getattr(row, name) for name in fields} | names
