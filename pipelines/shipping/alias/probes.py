"""The watch where no traffic passes the gateway: a few questions at every look, by the name that applications use."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from pipelines.domain import monitor as judge
from pipelines.domain.transitions import JobStatus
from pipelines.engine.jobs import ensure_job
from pipelines.engine.outcome import Wait
from pipelines.engine.waiting import LOOK_AGAIN
from pipelines.models import Check, Job, Rollout
from pipelines.shipping.bodies import RecentPrompt, held_out_prompts
from pipelines.shipping.plans import monitor_plan
from tenants.pipeline_settings import PipelineSettings

PHASE = "probe"
# As five transport errors in a row roll back at once where there is traffic.
PROBES = 5


class Word(StrEnum):
    """What a round of probes leads to."""

    CONTINUE = "continue"
    ROLL_BACK = "roll_back"
    HALT = "halt"
    NOTICE = "notice"


@dataclass(frozen=True)
class Probed:
    word: Word
    sentence: str
    numbers: dict[str, Any]


def look(rollout: Rollout, settings: PipelineSettings, now: datetime) -> Wait | Probed:
    """The round of probes that belongs to this look of the monitor: made once, waited for, judged, written down.

    Made anew where a person let a halted version go on: what they mended shows in new answers only.
    """
    number = sum(at <= now for at in judge.check_times(monitor_plan(settings.monitor), rollout.went_live_at))
    again = f":{rollout.times_settled}" if rollout.times_settled else ""
    job = ensure_job(rollout.run, f"probe:{number}{again}", "push", {"number": number}, now)
    if job.status in (JobStatus.QUEUED, JobStatus.RUNNING):
        return Wait(now + LOOK_AGAIN, "probes of the hosts")
    found = judged(job)
    fields = {"decision": found.word.value, "sentence": found.sentence, "numbers": found.numbers, "at": now}
    owner = {"agency_id": rollout.agency_id, "client_id": rollout.client_id}
    Check.objects.get_or_create(rollout=rollout, phase=PHASE, number=number, defaults=fields | owner)
    return found


def judged(job: Job) -> Probed:
    """Back where a host answers none of them by the name and the version before still answers; else its facts."""
    hosts: dict[str, dict[str, Any]] = job.result.get("hosts", {})
    silent = {name: said for name, said in hosts.items() if said["asked"] and said["failed"] == said["asked"]}
    if silent:
        return _silent(silent, hosts)
    moved = sorted(name for name, said in hosts.items() if not said["is_named"])
    if moved:
        return Probed(Word.NOTICE, f"the name was moved by hand on {', '.join(moved)}", hosts)
    asked, failed = (sum(said[key] for said in hosts.values()) for key in ("asked", "failed"))
    if not asked:
        return Probed(Word.NOTICE, f"no host could be probed: {job.error or 'nothing to ask'}", hosts)
    return Probed(Word.CONTINUE, f"{asked - failed} of {asked} probes were answered as they should be", hosts)


def _silent(silent: dict[str, dict[str, Any]], hosts: dict[str, dict[str, Any]]) -> Probed:
    names = ", ".join(sorted(silent))
    words = f"none of {PROBES} probes was answered as it should be on {names}"
    if any(said["before_failed"] < said["asked"] for said in silent.values()):
        return Probed(Word.ROLL_BACK, f"{words}, the version before still answers there", hosts)
    return Probed(Word.HALT, f"{words}, nor by the version before: look at the host", hosts)


def questions(rollout: Rollout, number: int, now: datetime) -> list[RecentPrompt]:
    """Other ones at each round, as far as there are."""
    found = held_out_prompts(rollout.pipeline, 50 * PROBES, now)
    start = number * PROBES % len(found) if found else 0
    return (found[start:] + found[:start])[:PROBES]
