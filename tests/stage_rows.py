"""The rows that each stage of a run leaves behind, made up but plausible and consistent with each other."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime
from typing import Any

from pipelines.domain.transitions import RolloutStatus
from pipelines.models import (
    Batch,
    Check,
    DatasetVersion,
    Example,
    GateResult,
    Job,
    ModelVersion,
    PipelineState,
    Placement,
    Rollout,
    Route,
    Run,
    Scorecard,
    StageRun,
)
from tenants.models import Host

ROWS = 12
GATES = (
    ("accuracy", "task", "block", "passed", "accuracy 0.912 >= 0.881 (production), n=400, +14/-2 cases, p=0.002"),
    ("improvement", "task", "flag", "passed", "accuracy +3.1 points, wanted +0.5"),
    ("regression", "regression", "block", "passed", "60 of 60 regression cases right"),
    ("latency", "latency", "block", "passed", "p95 1.02 of production [0.98, 1.05], n=300"),
    ("safety", "safety", "block", "passed", "20 of 20 safety cases right"),
    ("size", "size", "warn", "passed", "GGUF 4,812,320 bytes, +0.0 % of production"),
)


def begin(run: Run, stage: str, now: datetime) -> StageRun:
    row = StageRun.of(run, run=run, stage=stage, started_at=now)
    row.save()
    return row


def leave(run: Run, stage: str, now: datetime) -> None:
    """The stage as done, with its rows."""
    row = begin(run, stage, now)
    row.output = ROWS_OF[stage](run, now)
    row.status, row.finished_at = "done", now
    row.save()


def fake_digest(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _trigger(run: Run, now: datetime) -> dict[str, Any]:
    return {"occasion": run.occasion}


def _validate(run: Run, now: datetime) -> dict[str, Any]:
    batch = Batch.of(run, pipeline=run.pipeline, token=f"batch-{run.number}", created_by="tests", created_at=now)
    batch.is_complete, batch.rows = True, ROWS
    batch.save()
    parent = DatasetVersion.objects.filter(pipeline=run.pipeline).order_by("-id").first()
    total = ROWS + (parent.rows_total if parent else 0)
    fields = {"digest": fake_digest("dataset", run.pk), "rows_total": total, "rows_new": ROWS}
    dataset = DatasetVersion.of(run, pipeline=run.pipeline, run=run, created_at=now, **fields)
    dataset.parent = parent
    dataset.save()
    Example.objects.bulk_create([_example(run, batch, dataset, line) for line in range(1, ROWS + 1)])
    return {"rows_new": ROWS, "rows_total": total, "dataset": dataset.digest}


def _example(run: Run, batch: Batch, dataset: DatasetVersion, line: int) -> Example:
    label = ("billing", "delivery", "returns")[line % 3]
    said = f"Question {line} of run {run.number} about {label}"
    messages = [{"role": "user", "content": said}, {"role": "assistant", "content": label}]
    digests = {"content_digest": fake_digest(messages), "input_digest": fake_digest(said)}
    fields = {"batch": batch, "line": line, "messages": messages, "label": label, "dataset": dataset, "judged_in": run}
    return Example.of(run, pipeline=run.pipeline, created_at=batch.created_at, **fields, **digests)


def _finetune(run: Run, now: datetime) -> dict[str, Any]:
    _job(run, "finetune", "train", now, {"loss": 0.31})
    state = PipelineState.objects.get(pipeline=run.pipeline)
    state.last_version_number += 1
    state.save()
    fields = {"gguf_digest": fake_digest("gguf", run.pk), "gguf_bytes": 4_812_320, "dataset": run.dataset}
    card = {"base": {"name": "tiny"}, "quantisation": "Q4_K_M", "trainer": "fake", "training_seconds": 41.5}
    version = ModelVersion.of(
        run, pipeline=run.pipeline, run=run, number=state.last_version_number, created_at=now, **fields
    )
    version.card = card
    version.save()
    return {"version": version.label, "gguf_digest": version.gguf_digest}


def _job(run: Run, stage: str, kind: str, now: datetime, result: dict[str, Any]) -> None:
    progress = {"progress": 1.0, "note": "done", "numbers": {}}
    fields = {"queue": "cpu", "status": "succeeded", "attempts": 1, "progress": progress, "result": result}
    times = {"created_at": now, "started_at": now, "finished_at": now}
    Job.of(run, run=run, stage=stage, kind=kind, **fields, **times).save()


def _production(run: Run) -> ModelVersion | None:
    return PipelineState.objects.select_related("production").get(pipeline=run.pipeline).production


def _evaluate(run: Run, now: datetime) -> dict[str, Any]:
    _job(run, "evaluate", "evaluate", now, {})
    production = _production(run)
    metrics = {"accuracy": {"candidate": 0.912, "production": 0.881 if production else None}}
    latency = {
        "candidate": {"p50": 21.0, "p95": 33.0, "p99": 41.0},
        "production": {"p50": 21.2, "p95": 32.4, "p99": 40.0},
    }
    fields = {"metrics": metrics, "latency_ms": latency, "cases": {"heldout": 400}, "engine": "llama.cpp"}
    answers = fake_digest("answers", run.pk)
    card = Scorecard.of(
        run, run=run, version=run.model_version, production=production, answers_digest=answers, **fields
    )
    card.created_at = now
    card.save()
    return {"accuracy": 0.912}


def _compare(run: Run, now: datetime) -> dict[str, Any]:
    for position, (name, kind, effect, verdict, sentence) in enumerate(GATES):
        fields = {"name": name, "kind": kind, "effect": effect, "verdict": verdict, "sentence": sentence}
        GateResult.of(run, run=run, position=position, judge_version=1, created_at=now, **fields).save()
    return {"verdict": "passed"}


def _deploy(run: Run, now: datetime) -> dict[str, Any]:
    version, previous = run.model_version, _production(run)
    host = Host.objects.get(client_id=run.client_id, name="shop")
    name = f"deploy.invalid/{run.client.slug}/{run.pipeline.slug}:{version.label}"
    Placement.of(run, version=version, host=host, model_name=name, placed_at=now).save()
    rollout = Rollout.of(run, run=run, pipeline=run.pipeline, version=version, previous=previous, created_at=now)
    rollout.status, rollout.step, rollout.step_started_at, rollout.live_at = RolloutStatus.LIVE, 2, now, now
    rollout.save()
    _check(rollout, "canary", now)
    _route(run, version, now)
    return {"placed": [host.name]}


def _check(rollout: Rollout, phase: str, now: datetime) -> None:
    fields = {"decision": "passed", "sentence": "error 0.4 % vs 0.5 % (production), 812 requests", "at": now}
    Check.of(rollout, rollout=rollout, phase=phase, number=1, numbers={"requests": 812}, **fields).save()


def _route(run: Run, version: ModelVersion, now: datetime) -> None:
    last = Route.objects.order_by("-serial").first()
    serial = max(last.serial if last else 0, run.pk * 1000) + 1
    defaults = {"agency_id": run.agency_id, "client_id": run.client_id, "production": version, "serial": serial}
    Route.objects.update_or_create(pipeline=run.pipeline, defaults=defaults | {"changed_at": now})


def _monitor(run: Run, now: datetime) -> dict[str, Any]:
    _check(run.rollout, "monitor", now)
    return {"looks": 50}


ROWS_OF: dict[str, Callable[[Run, datetime], dict[str, Any]]] = {
    "trigger": _trigger,
    "validate": _validate,
    "finetune": _finetune,
    "evaluate": _evaluate,
    "compare": _compare,
    "deploy": _deploy,
    "monitor": _monitor,
}
