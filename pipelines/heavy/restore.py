"""Job restore: after a rollback, every host answers with the version that came back.

And how long the old one still spoke.
"""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from django.utils.timezone import now as clock

from pipelines.domain.transitions import RolloutStatus
from pipelines.engine.jobs import JobFailed, Work
from pipelines.heavy.push import open_adapter
from pipelines.hosts import HostDown, HostRefused
from pipelines.hosts.naming import alias_name
from pipelines.models import Exchange, ModelVersion, Placement, Rollback

HOST_TIMEOUT_S = 120.0
# Gateways follow a route within a second and write their meter within another.
WATCH_S = 4.0


def work(work: Work) -> dict[str, Any]:
    made = Rollback.objects.select_related("to_version__client", "to_version__pipeline", "rollout").get(
        pk=int(work.job.kind.partition(":")[2])
    )
    hosts = {p.host.name: _point(made.to_version, p) for p in placements_of(made.to_version)}
    made.hosts = hosts
    made.last_answer_at = _last_answer(made)
    failed = [name for name, said in hosts.items() if said != "ok"]
    if not failed:
        made.verified_at = clock()
    made.save(update_fields=["hosts", "last_answer_at", "verified_at"])
    if failed:
        raise JobFailed("; ".join(f"{name}: {hosts[name]}" for name in failed))
    if made.rollout is not None and made.rollout.status == RolloutStatus.ROLLING_BACK:
        made.rollout.move(RolloutStatus.ROLLED_BACK, finished_at=clock())
    return {"hosts": hosts}


def point_aliases(work: Work) -> dict[str, Any]:
    """Job alias: `:production` on every host names the version that was just promoted, unless it is gone again."""
    version = ModelVersion.objects.select_related("client", "pipeline").get(run=work.job.run)
    if version.status != "production":
        return {"hosts": {}}
    hosts = {p.host.name: _point(version, p) for p in placements_of(version)}
    failed = {name: said for name, said in hosts.items() if said != "ok"}
    if failed:
        raise JobFailed("; ".join(f"{name}: {said}" for name, said in failed.items()))
    return {"hosts": hosts}


def placements_of(version: ModelVersion) -> QuerySet[Placement]:
    return Placement.objects.select_related("host").filter(version=version, status="placed", host__is_enabled=True)


def _point(version: ModelVersion, placement: Placement) -> str:
    """`ok`, or a sentence: the alias points to the version, which is loaded and answers."""
    try:
        host = open_adapter(placement.host, HOST_TIMEOUT_S)
        host.copy(placement.model_name, alias_name(version.client.slug, version.pipeline.slug))
        host.preload(placement.model_name)
        host.chat(placement.model_name, [{"role": "user", "content": "Hello"}], {"num_predict": 4, "temperature": 0})
    except (HostDown, HostRefused) as error:
        return str(error)
    return "ok"


def _last_answer(made: Rollback) -> datetime:
    """When the version that was taken back answered last; the decision itself if nothing came after it."""
    time.sleep(max(0.0, WATCH_S - (clock() - made.decided_at).total_seconds()))
    rows = Exchange.objects.filter(version=made.from_version, client_id=made.client_id, finished_at__gt=made.decided_at)
    last = rows.order_by("-finished_at").first()
    return last.finished_at if last else made.decided_at
