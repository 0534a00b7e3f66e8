"""Drift: what stands on a host is not what was placed there. Found by each look, told once, repaired only by policy.

A host keeps no record of who changed it: what is known is when it was last seen right, and what differs now.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from pipelines import outbox
from pipelines.domain.transitions import JobStatus
from pipelines.hosts.naming import alias_name
from pipelines.models import Job, Placement, Rollback
from tenants.models import AuditEvent, Host, HostDrift

ACTOR = "look at hosts"
# Work that changes names on purpose: while it is under way, a host is not expected to agree with us.
BUSY = ("push:", "restore:", "bring:", "alias", "retire:")
INSISTS = ("restore", "bring")


class Kind(StrEnum):
    GONE = "gone"
    DIGEST = "digest"
    TEMPLATE = "template"
    ALIAS = "alias"
    GENERATION = "generation"


@dataclass(frozen=True)
class Finding:
    kind: Kind
    placement: Placement
    model_name: str
    expected: str
    found: str


@dataclass(frozen=True)
class Picture:
    """What a look saw: digests by name, the host's generation, templates by name where they were read."""

    digests: Mapping[str, str]
    generation: str
    templates: Mapping[str, str]


def placements_on(row: Host) -> list[Placement]:
    related = ("version__pipeline", "version__client")
    return list(Placement.objects.filter(host=row, status="placed").select_related(*related).order_by("id"))


def compare(placements: list[Placement], seen: Picture) -> Iterator[Finding]:
    for placement in placements:
        name, expected = placement.model_name, str(placement.facts.get("manifest_digest", ""))
        found = seen.digests.get(name, "")
        if not found:
            yield Finding(Kind.GONE, placement, name, expected, "")
        elif expected and found != expected:
            yield Finding(Kind.DIGEST, placement, name, expected, found)
        elif _differs(placement.facts.get("template_digest"), seen.templates.get(name)):
            yield Finding(
                Kind.TEMPLATE, placement, name, placement.facts["template_digest"], seen.templates.get(name, "")
            )
        yield from _generation(placement, seen)
        if placement.version.status == "production":
            yield from _alias(placement, found, seen)


def _differs(expected: object, found: str | None) -> bool:
    return bool(expected and found and expected != found)


def _generation(placement: Placement, seen: Picture) -> Iterator[Finding]:
    expected = str(placement.facts.get("generation", ""))
    if _differs(expected, seen.generation):
        yield Finding(Kind.GENERATION, placement, placement.model_name, expected, seen.generation)


def _alias(placement: Placement, digest: str, seen: Picture) -> Iterator[Finding]:
    version = placement.version
    name = alias_name(version.client.slug, version.pipeline.slug)
    if digest and seen.digests.get(name) != digest and _is_aliased(placement):
        yield Finding(Kind.ALIAS, placement, name, digest, seen.digests.get(name, ""))


def _is_aliased(placement: Placement) -> bool:
    """Whether the name was pointed there; or was to be at the promotion, and the job gave up on a host."""
    ended_badly = Q(status__in=(JobStatus.FAILED, JobStatus.CANCELLED))
    pointing = Job.objects.filter(ended_badly, run=placement.version.run_id, kind="alias")
    return bool(placement.facts.get("is_aliased")) or pointing.exists()


def is_busy(row: Host, since: datetime) -> bool:
    """Whether such work is under way, or was at any time since `since`: a host may have been asked before it ended."""
    live, late = Q(status__in=(JobStatus.QUEUED, JobStatus.RUNNING)), Q(finished_at__gte=since)
    jobs = Job.objects.filter(live | late, client_id=row.client_id).only("kind", "status", "attempts", "heartbeat_at")
    return any(job.kind.startswith(BUSY) and not _spares(job, row, since) for job in jobs)


def _spares(job: Job, row: Host, since: datetime) -> bool:
    """A rollback may wait a day for a host that is down: the hosts that took it are as they were left."""
    kind, _, number = job.kind.partition(":")
    if kind not in INSISTS or not _is_between_tries(job, since - timedelta(seconds=settings.JOB_LEASE_S)):
        return False
    made = Rollback.objects.filter(pk=int(number)).first()
    return made is None or row.name not in made.untold


def _is_between_tries(job: Job, since: datetime) -> bool:
    """Nobody works on it, nor has since."""
    is_quiet = job.heartbeat_at is not None and job.heartbeat_at < since
    return job.status == JobStatus.QUEUED and job.attempts > 0 and is_quiet


@transaction.atomic
def note(row: Host, found: list[Finding], right_at: datetime | None, now: datetime) -> list[tuple[HostDrift, Finding]]:
    """Each finding with its row. A new one gets a line in the ledger and a notice; those that went away end."""
    known = {(d.model_name, d.kind): d for d in HostDrift.objects.filter(host=row, ended_at=None)}
    seen = {(one.model_name, one.kind.value) for one in found}
    for key, drift in known.items():
        if key not in seen:
            drift.ended_at = now
            drift.save(update_fields=["ended_at"])
    _tell_right_again(row, [drift for key, drift in known.items() if key not in seen], now)
    return [(known.get((one.model_name, one.kind.value)) or _write(row, one, right_at, now), one) for one in found]


def _tell_right_again(row: Host, ended: list[HostDrift], now: datetime) -> None:
    """Once for a pipeline, when nothing of it differs on the host any more."""
    still = set(HostDrift.objects.filter(host=row, ended_at=None).values_list("pipeline_id", flat=True))
    for pipeline in {drift.pipeline_id: drift.pipeline for drift in ended}.values():
        if pipeline is not None and pipeline.pk not in still:
            outbox.tell_recovered(pipeline, "drift", now, row.name)


def _write(row: Host, one: Finding, right_at: datetime | None, now: datetime) -> HostDrift:
    pipeline = one.placement.version.pipeline
    fields = {"expected": one.expected, "found": one.found, "right_at": right_at, "found_at": now}
    drift = HostDrift.of(row, host=row, pipeline=pipeline, model_name=one.model_name, kind=one.kind, **fields)
    drift.save()
    detail = {"kind": one.kind.value, "model": one.model_name, "expected": one.expected, "found": one.found}
    detail |= {"right_at": right_at.isoformat() if right_at else ""}
    AuditEvent.append(row, ACTOR, "host.drift", row.name, now, detail)
    told = {"host": row.name, "policy": row.drift_policy, "reason": sentence(row, drift)}
    outbox.notify_of_host(pipeline, f"drift:{drift.pk}", "drift", now, told)
    return drift


WHAT = {
    Kind.GONE: "is no longer on the host",
    Kind.DIGEST: "is another model than the one that was placed",
    Kind.TEMPLATE: "gets another prompt template than it was placed with",
    Kind.ALIAS: "does not point to the version in production",
    Kind.GENERATION: "was placed on a host of another generation",
}


def sentence(row: Host, drift: HostDrift) -> str:
    """In the ledger's words."""
    right = f"it was right at {drift.right_at:%Y-%m-%d %H:%M} UTC" if drift.right_at else "it was never seen right"
    differs = f"{_short(drift.expected)} was placed, {_short(drift.found)} is there"
    return f"{drift.model_name} on {row.name} {WHAT[Kind(drift.kind)]}: {differs}; {right}"


def _short(text: str) -> str:
    return text[:12] or "nothing"
