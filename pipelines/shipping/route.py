"""The flip: one committed row that every gateway follows."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction

from pipelines.cards import facts_of
from pipelines.domain.transitions import RolloutStatus
from pipelines.models import ModelVersion, Rollout, Route
from tenants import crossing
from tenants.models import AuditEvent

FULL_BP = 10_000
# Each try that fails means that another pipeline's flip was committed: so many at one moment there are none.
TRIES = 100
OVER = (RolloutStatus.ROLLING_BACK, RolloutStatus.ROLLED_BACK, RolloutStatus.RETIRED)


class RolloutOver(RuntimeError):
    """The version was taken back meanwhile: its rollout gets no traffic any more, whatever was decided before."""


def flip(
    production: ModelVersion,
    now: datetime,
    *,
    candidate: ModelVersion | None = None,
    share: float = 0.0,
    rollout: Rollout | None = None,
    by: str = "rollout",
) -> Route:
    """Sends the pipeline's traffic to `production`, and `share` of it to `candidate`.

    Raises `RolloutOver` for a rollout that was taken back by somebody else.
    """
    fields: dict[str, object] = {
        "production": production,
        "candidate": candidate,
        "candidate_bp": round(share * FULL_BP) if candidate else 0,
        "rollout": rollout,
        "changed_at": now,
    }
    tries_left = TRIES
    while True:
        try:
            with transaction.atomic():
                route = _write(production, fields)
                _note(route, by, now)
                return route
        except IntegrityError:
            # Somebody took the same serial: it is the largest committed plus one, so that serials rise in commit order.
            tries_left -= 1
            if not tries_left:
                raise


def next_serial() -> int:
    """Whoever commits a route with it first has it: for the other, the row cannot be written."""
    return int(crossing.ask("last_route_serial")[0][0] or 0) + 1


def _write(owner: ModelVersion, fields: dict[str, object]) -> Route:
    serial = next_serial()
    found = Route.objects.select_for_update().filter(pipeline_id=owner.pipeline_id).first()
    _refuse_over(fields["rollout"])
    route = found or Route.of(owner, pipeline_id=owner.pipeline_id)
    for name, value in (fields | {"serial": serial}).items():
        setattr(route, name, value)
    route.save()
    return route


def _note(route: Route, by: str, now: datetime) -> None:
    """In the same transaction as the caller's: what the ledger answers when somebody asks what served."""
    candidate, slug = route.candidate, route.pipeline.slug
    detail: dict[str, Any] = {"pipeline": slug, "serial": route.serial, "production": facts_of(route.production)}
    said = f"{slug} to {route.production.label}"
    if candidate is not None:
        detail |= {"candidate": facts_of(candidate), "share": route.candidate_bp / FULL_BP}
        said += f", {candidate.label} at {route.candidate_bp / 100:g} %"
    AuditEvent.append(route, by, "route.flip", said, now, detail)


def _refuse_over(rollout: object) -> None:
    """Asked under the route's lock, which a rollback holds until its commit: a stage that looked before it is late."""
    if isinstance(rollout, Rollout) and Rollout.objects.filter(pk=rollout.pk, status__in=OVER).exists():
        raise RolloutOver("The version was taken back meanwhile; its rollout is over.")
