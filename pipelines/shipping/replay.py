"""Paired replay: which recent prompts are asked again, and what their pairs say to the judges."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.db.models import QuerySet

from pipelines.domain.canary import Arm, CanaryState, Outcome, Pair, apply_pairs
from pipelines.domain.transitions import JobStatus
from pipelines.engine.jobs import ensure_job
from pipelines.models import Job, Placement, ReplayPair, Rollout, Run
from pipelines.shipping.bodies import (
    RecentPrompt,
    held_out_digests,
    held_out_prompts,
    recent_digests,
    recent_prompts,
)
from tenants.pipeline_settings import PipelineSettings

CANARY, MONITOR = "canary", "monitor"
# Fewer detect only disasters (statistics.md D: 60 pairs), and are not worth a host's time.
LEAST_PAIRS = 50
WINDOW = timedelta(days=30)
QUEUE = "push"


def job_of(rollout: Rollout, name: str, phase: str, settings: PipelineSettings, now: datetime) -> Job | None:
    """The replay called `name` of this rollout: made once. None where it is not possible, or not allowed."""
    kind = f"replay:{name}"
    found = Job.objects.filter(run_id=rollout.run_id, stage=rollout.run.stage, kind=kind).first()
    if found is not None or not is_possible(rollout, phase, settings, now):
        return found
    return ensure_job(rollout.run, kind, QUEUE, {"phase": phase, "pairs": wanted(rollout, phase, settings)}, now)


def job_of_step(rollout: Rollout, settings: PipelineSettings, now: datetime) -> Job | None:
    """The replay that settles the step the rollout is in; "0" comes before the first one."""
    name = str(rollout.step + 1) if rollout.step_started_at else "0"
    return job_of(rollout, name, CANARY, settings, now)


def may_settle(rollout: Rollout, settings: PipelineSettings, now: datetime) -> bool:
    """Whether pairs can still come for the step the rollout is in."""
    found = Job.objects.filter(run_id=rollout.run_id, kind=f"replay:{rollout.step + 1}").first()
    return is_possible(rollout, CANARY, settings, now) if found is None else not is_over(found)


def is_over(job: Job) -> bool:
    return job.status not in (JobStatus.QUEUED, JobStatus.RUNNING)


def is_possible(rollout: Rollout, phase: str, settings: PipelineSettings, now: datetime) -> bool:
    """There are prompts that may be asked, both versions stand on one host, and enough were not replayed yet."""
    has_prompts = settings.bodies.keep or settings.rollout.is_direct
    if not (settings.rollout.replay and has_prompts) or shared_placements(rollout) is None:
        return False
    wants = wanted(rollout, phase, settings)
    return wants >= LEAST_PAIRS and _has_prompts(rollout, phase, now)


def _has_prompts(rollout: Rollout, phase: str, now: datetime) -> bool:
    """Whether `prompts` gives enough; looked at by digests, for this is asked while the route is locked."""
    told = _told(rollout, phase)
    found = set(recent_digests(rollout.pipeline, LEAST_PAIRS, now - WINDOW, told))
    if len(found) < LEAST_PAIRS and rollout.run.revision.settings.rollout.is_direct:
        found |= held_out_digests(rollout.pipeline, LEAST_PAIRS - len(found), told | found)
    return len(found) >= LEAST_PAIRS


def wanted(rollout: Rollout, phase: str, settings: PipelineSettings) -> int:
    """How many of the rollout's pairs are left."""
    return settings.rollout.max_pairs - ReplayPair.objects.filter(rollout=rollout, phase=phase).count()


def prompts(rollout: Rollout, phase: str, limit: int, now: datetime) -> list[RecentPrompt]:
    """Prompts that this phase did not replay yet: recent ones; held-out ones where no traffic passes the gateway."""
    told = _told(rollout, phase)
    found = recent_prompts(rollout.pipeline, limit, now - WINDOW, told)
    if len(found) < limit and rollout.run.revision.settings.rollout.is_direct:
        found += held_out_prompts(rollout.pipeline, limit - len(found), now, told | {prompt.digest for prompt in found})
    return found


def _told(rollout: Rollout, phase: str) -> set[str]:
    """Digests of what it was asked."""
    return set(ReplayPair.objects.filter(rollout=rollout, phase=phase).values_list("prompt_digest", flat=True))


def shared_placements(rollout: Rollout) -> tuple[Placement, Placement] | None:
    """(candidate's, production's) on the first host that has both."""
    if rollout.previous_id is None:
        return None
    ours, theirs = (_placed(version) for version in (rollout.version_id, rollout.previous_id))
    return next(((ours[host], theirs[host]) for host in sorted(ours) if host in theirs), None)


def _placed(version_id: int) -> dict[int, Placement]:
    rows = Placement.objects.select_related("host").filter(version_id=version_id, status="placed")
    return {row.host_id: row for row in rows.filter(host__is_enabled=True)}


def count(rollout: Rollout, state: CanaryState) -> CanaryState:
    """The state with the pairs that it lacks. To be saved in the caller's transaction."""
    rows = list(fresh(rollout))
    if not rows:
        return state
    ReplayPair.objects.filter(pk__in=[row.pk for row in rows]).update(is_counted=True)
    return apply_pairs(state, pairs(rows))


def fresh(rollout: Rollout) -> QuerySet[ReplayPair]:
    return ReplayPair.objects.filter(rollout=rollout, phase=CANARY, is_counted=False)


def pairs(rows: Iterable[ReplayPair]) -> list[Pair]:
    return [
        Pair(_outcome(row, Arm.CANDIDATE, row.candidate), _outcome(row, Arm.PRODUCTION, row.production)) for row in rows
    ]


def _outcome(row: ReplayPair, arm: Arm, said: dict[str, Any]) -> Outcome:
    return Outcome(row.at, arm, row.prompt_digest, said["is_error"], said["latency_ms"], said["is_bad"])


def latest(run: Run) -> Job | None:
    """The replay that goes on, or went on last."""
    return Job.objects.filter(run=run, kind__startswith="replay:").order_by("-id").first()
