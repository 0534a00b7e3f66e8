"""Adoption: a model that ran on a host before anybody built one here becomes v0, baseline and way back.

Its bytes cannot be fetched from a host: what needs them is impossible for it, and said so.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction

from pipelines.domain.transitions import RolloutStatus, RunStatus
from pipelines.hosts import Shown, Tag
from pipelines.models import ModelVersion, PipelineState, Placement, Rollout, Run
from tenants.models import Host, Pipeline

STAGE = "monitor"


@dataclass(frozen=True)
class Model:
    """What the host said of it."""

    host: Host
    tag: Tag
    shown: Shown
    generation: str
    version: str


@transaction.atomic
def adopt(pipeline: Pipeline, model: Model, by: str, reason: str, now: datetime) -> Rollout:
    """The rows of a version that is live. The caller flips the route to it, in the same transaction."""
    run = _run(pipeline, by, reason, now)
    version = _version(run, model, now)
    facts: dict[str, Any] = {"manifest_digest": model.tag.digest, "blob_digest": model.shown.blob_digest}
    facts |= {"generation": model.generation, "version": model.version, "is_adopted": True}
    names = {"model_name": model.tag.name, "facts": facts, "placed_at": now}
    Placement.of(version, version=version, host=model.host, **names).save()
    rollout = Rollout.of(run, run=run, pipeline=pipeline, version=version, created_at=now)
    rollout.status, rollout.live_at = RolloutStatus.LIVE, now
    rollout.save()
    PipelineState.objects.filter(pipeline=pipeline).update(production=version)
    return rollout


def _run(pipeline: Pipeline, by: str, reason: str, now: datetime) -> Run:
    """A version is a run's: this one has nothing behind it."""
    state = PipelineState.objects.select_for_update(of=("self",)).get(pipeline=pipeline)
    state.last_run_number += 1
    occasion = {"kind": "adopt", "by": by, "reason": reason}
    fields = {"revision": pipeline.revision, "number": state.last_run_number, "occasion": occasion, "stage": STAGE}
    run = Run.of(pipeline, pipeline=pipeline, created_at=now, **fields)
    run.status, run.finished_at, run.verdict, run.reason = RunStatus.SUCCEEDED, now, "adopted", reason
    run.save()
    state.latest_run = run
    state.save(update_fields=["last_run_number", "latest_run"])
    return run


def _version(run: Run, model: Model, now: datetime) -> ModelVersion:
    fields: dict[str, Any] = {
        "number": 0,
        "status": "production",
        "gguf_digest": model.shown.blob_digest.removeprefix("sha256:"),
        "gguf_bytes": model.tag.size_bytes,
        "card": {"adopted": {"host": model.host.name, "name": model.tag.name, "manifest_digest": model.tag.digest}},
        "approved_by": run.occasion["by"],
    }
    made = ModelVersion.of(run, pipeline=run.pipeline, run=run, created_at=now, promoted_at=now, **fields)
    made.save()
    return made
