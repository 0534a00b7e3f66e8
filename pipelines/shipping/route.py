"""The flip: one committed row that every gateway follows."""

from __future__ import annotations

from datetime import datetime

from django.db import IntegrityError, transaction

from pipelines.models import ModelVersion, Rollout, Route
from tenants import crossing

FULL_BP = 10_000


def flip(
    production: ModelVersion,
    now: datetime,
    *,
    candidate: ModelVersion | None = None,
    share: float = 0.0,
    rollout: Rollout | None = None,
) -> Route:
    """Sends the pipeline's traffic to `production`, and `share` of it to `candidate`."""
    fields: dict[str, object] = {
        "production": production,
        "candidate": candidate,
        "candidate_bp": round(share * FULL_BP) if candidate else 0,
        "rollout": rollout,
        "changed_at": now,
    }
    while True:
        try:
            with transaction.atomic():
                return _write(production, fields)
        except IntegrityError:
            # Somebody took the same serial: it is the largest committed plus one, so that serials rise in commit order.
            continue


def _write(owner: ModelVersion, fields: dict[str, object]) -> Route:
    serial = (crossing.ask("last_route_serial")[0][0] or 0) + 1
    found = Route.objects.select_for_update().filter(pipeline_id=owner.pipeline_id).first()
    route = found or Route.of(owner, pipeline_id=owner.pipeline_id)
    for name, value in (fields | {"serial": serial}).items():
        setattr(route, name, value)
    route.save()
    return route
