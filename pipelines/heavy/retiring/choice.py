"""Which versions may leave their hosts. Production, its predecessor and anything that lives never do."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db.models import F, Q

from pipelines.artifacts import store_of
from pipelines.domain.transitions import LIVE_RUNS, RolloutStatus
from pipelines.hosts.naming import is_ours
from pipelines.models import ModelVersion, PipelineState, Placement, Rollback, Rollout, Route
from pipelines.models.placement import LEAVING
from pipelines.shipping.rollback import default_target
from tenants.models import Pipeline

# One that is only placed is needed for as long as its run lives.
ON_ITS_WAY = (RolloutStatus.STEPPING, RolloutStatus.HALTED, RolloutStatus.ROLLING_BACK)
# Hosts that a rollback could not reach are asked again meanwhile.
ROLLBACK_SETTLED = timedelta(days=1)


def expendable(pipeline: Pipeline, now: datetime) -> list[Placement]:
    """Placements past `rollout.keep_on_hosts`, of versions whose file the store can send again; oldest last."""
    kept = needed(pipeline, now)
    versions = ModelVersion.objects.filter(pipeline=pipeline, placements__status="placed").distinct()
    rest = versions.exclude(pk__in=kept).order_by(F("promoted_at").desc(nulls_last=True), "-number")
    room = max(0, pipeline.settings.rollout.keep_on_hosts - len(kept))
    gone = [version for version in _past(rest, room) if store_of(pipeline.client_id).has_all(version.files)]
    rows = Placement.objects.filter(version__in=gone, status="placed", host__is_enabled=True)
    return [row for row in rows.select_related("version__run", "host").order_by("pk") if is_ours(row.model_name)]


def leaving(pipeline: Pipeline) -> list[Placement]:
    """What was given up and still stands on a host that could not be reached then."""
    rows = Placement.objects.filter(LEAVING, version__pipeline=pipeline, host__is_enabled=True)
    return list(rows.select_related("version__run", "host").order_by("pk"))


def _past(versions: Iterable[ModelVersion], room: int) -> list[ModelVersion]:
    """All but the newest few that were in production. One that never was is not gone back to: it takes no room."""
    found = list(versions)
    once_live = [version for version in found if version.promoted_at is not None]
    return once_live[room:] + [version for version in found if version.promoted_at is None]


def needed(pipeline: Pipeline, now: datetime) -> set[int]:
    """Keys of the versions that traffic, a run, a rollout or a rollback needs where they stand."""
    found: set[int | None] = set(PipelineState.objects.filter(pipeline=pipeline).values_list("production", flat=True))
    for route in Route.objects.select_related("production", "candidate").filter(pipeline=pipeline):
        before = Rollout.objects.filter(version=route.production).order_by("-id").values_list("previous", flat=True)
        found |= {route.production_id, route.candidate_id, before.first(), getattr(default_target(route), "pk", None)}
    live = Q(run__status__in=LIVE_RUNS) | Q(rollouts__status__in=ON_ITS_WAY)
    found |= set(ModelVersion.objects.filter(live, pipeline=pipeline).values_list("pk", flat=True))
    found |= set(Rollout.objects.filter(pipeline=pipeline, status__in=ON_ITS_WAY).values_list("previous", flat=True))
    recent = Rollback.objects.filter(pipeline=pipeline, verified_at=None, decided_at__gt=now - ROLLBACK_SETTLED)
    found |= set(recent.values_list("to_version", flat=True))
    return {pk for pk in found if pk is not None}
