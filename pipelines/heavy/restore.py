"""Job restore: after a rollback, every host answers with the version that came back.

And how long the old one still spoke.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import QuerySet
from django.utils.timezone import now as clock

from pipelines.engine.jobs import JobFailed, Work
from pipelines.fleet.alone import make_room
from pipelines.heavy.push import open_adapter
from pipelines.hosts import Host as HostAdapter
from pipelines.hosts import HostDown, HostRefused
from pipelines.hosts.naming import alias_name
from pipelines.models import Exchange, Job, ModelVersion, PipelineState, Placement, Rollback, Rollout
from pipelines.shipping.back.insisting import Insisting, end, is_overtaken

HOST_TIMEOUT_S = 120.0
# Production may move again while hosts are told; more often than this nobody moves it.
ROUNDS = 3
# Gateways follow a route within a second and write their meter within another.
WATCH_S = 4.0
OK = "ok"


def work(work: Work) -> dict[str, Any]:
    made = Rollback.objects.select_related(
        "to_version__client", "to_version__pipeline", "rollout", "pipeline", "from_version__run__revision"
    ).get(pk=int(work.job.kind.partition(":")[2]))
    with Insisting(work, made):
        return _restore(work, made)


def _restore(work: Work, made: Rollback) -> dict[str, Any]:
    pointed = _point_all(made.target)
    made.hosts = hosts = pointed.hosts
    time.sleep(max(0.0, WATCH_S - (clock() - made.moved_at).total_seconds()))
    made.last_answer_at = max(_last_answer(made), pointed.at if _is_direct(made) else made.decided_at)
    failed = [name for name, said in hosts.items() if said != OK]
    if hosts and not failed:
        made.verified_at = clock()
    made.save(update_fields=["hosts", "last_answer_at", "verified_at"])
    if not made.verified_at and not is_overtaken(made):
        said = "; ".join(f"{name}: {hosts[name]}" for name in failed) or "it stands on no enabled host"
        raise JobFailed(f"{made.target.label} is not what answers on every host: {said}")
    end(made)
    _send_second_look(work, made)
    return {"hosts": hosts}


def _send_second_look(work: Work, made: Rollback) -> None:
    """A long answer that was in flight ends later: looked at again when the longest that a client allows is over."""
    job, revision = work.job, made.from_version.run.revision
    due_at = made.moved_at + timedelta(seconds=revision.settings.rollout.request_timeout_s + WATCH_S)
    fields = {"queue": "push", "created_at": clock(), "due_at": due_at, "max_attempts": 5}
    found = {"run": job.run, "stage": job.stage, "kind": f"last:{made.pk}"}
    Job.objects.get_or_create(**found, defaults=fields | {"agency_id": job.agency_id, "client_id": job.client_id})


def look_again(work: Work) -> dict[str, Any]:
    """Job last: when the last answer of the version that was taken back really ended."""
    made = Rollback.objects.select_related("from_version").get(pk=int(work.job.kind.partition(":")[2]))
    made.last_answer_at = max(_last_answer(made), made.last_answer_at or made.decided_at)
    made.save(update_fields=["last_answer_at"])
    return {"seconds": made.seconds}


def point_aliases(work: Work) -> dict[str, Any]:
    """Job alias: `:production` on every host names the version that was just promoted, unless it is gone again."""
    version = ModelVersion.objects.select_related("client", "pipeline").get(run=work.job.run)
    if version.status != "production":
        return {"hosts": {}}
    rollout = Rollout.objects.filter(run=work.job.run).first()
    if rollout is not None:
        make_room(rollout)
    hosts = _point_all(version).hosts
    failed = {name: said for name, said in hosts.items() if said != OK}
    if failed:
        raise JobFailed("; ".join(f"{name}: {said}" for name, said in failed.items()))
    return {"hosts": hosts}


@dataclass(frozen=True)
class Pointed:
    """What each host said: `ok` or a sentence. `at`: when the last of them was told the name."""

    hosts: dict[str, str]
    at: datetime


def _point_all(version: ModelVersion) -> Pointed:
    """A job that was overtaken by a rollback has pointed late: it looks again what is in production, and mends it."""
    for _ in range(ROUNDS):
        pointed = _point_to(version)
        states = PipelineState.objects.select_related("production__client", "production__pipeline")
        current = states.get(pipeline_id=version.pipeline_id).production
        if current is None or current.pk == version.pk:
            break
        version = current
    return pointed


def _point_to(version: ModelVersion) -> Pointed:
    """First the name on every host, for whoever calls them directly; then the proofs, which take their time."""
    alias, places = alias_name(version.client.slug, version.pipeline.slug), list(placements_of(version))
    named = {place.pk: _told(place, lambda host, name: _copy(host, name, alias)) for place in places}
    at = clock()
    for place in places:
        _expect_alias(place, named[place.pk])
    said = {p.host.name: named[p.pk] if named[p.pk] != OK else _told(p, _prove) for p in places}
    return Pointed(said, at)


def _expect_alias(place: Placement, said: str) -> None:
    """From now on a look at the host expects the alias there."""
    if said == OK and not place.facts.get("is_aliased"):
        place.facts = place.facts | {"is_aliased": True}
        place.save(update_fields=["facts"])


def placements_of(version: ModelVersion) -> QuerySet[Placement]:
    return Placement.objects.select_related("host").filter(version=version, status="placed", host__is_enabled=True)


def _told(place: Placement, what: Callable[[HostAdapter, str], None]) -> str:
    try:
        with closing(open_adapter(place.host, HOST_TIMEOUT_S)) as host:
            what(host, place.model_name)
    except (HostDown, HostRefused) as error:
        return str(error)
    return OK


def _prove(host: HostAdapter, name: str) -> None:
    host.preload(name)
    host.chat(name, [{"role": "user", "content": "Hello"}], {"num_predict": 4, "temperature": 0})


def _copy(host: HostAdapter, name: str, alias: str) -> None:
    """Not a second time: a worker that was lost after it pointed the alias has done what is wanted.

    Looked at afterwards: somebody else may have moved it in the same moment, and a copy answers 200 all the same.
    """
    if _is_pointed(host, name, alias):
        return
    host.copy(name, alias)
    if not _is_pointed(host, name, alias):
        raise HostDown(f"{alias} was moved by somebody else while it was pointed to {name}")


def _is_pointed(host: HostAdapter, name: str, alias: str) -> bool:
    digests = {tag.name: tag.digest for tag in host.tags()}
    return name in digests and digests.get(alias) == digests[name]


def _last_answer(made: Rollback) -> datetime:
    """When the version that was taken back answered last; the decision itself if nothing came after it."""
    rows = Exchange.objects.filter(version=made.from_version, client_id=made.client_id, finished_at__gt=made.decided_at)
    last = rows.order_by("-finished_at").first()
    return last.finished_at if last else made.decided_at


def _is_direct(made: Rollback) -> bool:
    """Where applications call hosts, no meter hears the last answer: the name's move is the earliest it can be."""
    return bool(made.from_version.run.revision.settings.rollout.is_direct)
