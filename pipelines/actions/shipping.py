"""A person takes a version back."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.utils.translation import gettext as _

from pipelines.actions.refused import ActionRefused
from pipelines.models import ModelVersion, Rollback, Route
from pipelines.shipping import rollback
from pipelines.shipping.rollback import Finding
from tenants.models import AuditEvent, Pipeline


@transaction.atomic
def roll_back(pipeline: Pipeline, *, to: ModelVersion | None, actor: str, reason: str, now: datetime) -> Rollback:
    """Moves all traffic to `to` (default: what was in production before).

    Refuses when its bytes are not whole or not placed.
    """
    if not reason.strip():
        raise ActionRefused(_("Say why: the reason is kept in the ledger."))
    route = Route.objects.select_for_update().filter(pipeline=pipeline).first()
    if route is None:
        raise ActionRefused(_("Nothing is in production yet, so there is nothing to roll back."))
    target = to or rollback.default_target(route)
    why_not = rollback.obstacle(route, target)
    if target is None or why_not:
        raise ActionRefused(why_not or _("There is no earlier version to go back to."))
    finding = Finding("person", "decision", reason, {})
    made = rollback.roll_back(route, target, finding, actor, now)
    AuditEvent.append(pipeline, actor, "rollback", f"{pipeline.slug} to v{target.number}", now, {"reason": reason})
    return made
