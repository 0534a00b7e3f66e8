"""Job evaluate: candidate and production answer the same cases in the same engine, on the very bytes that ship."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pipelines.artifacts import scratch_of, store_of, wipe_scratch
from pipelines.engine.jobs import Work
from pipelines.heavy.children import run_child
from pipelines.models import ModelVersion, PipelineState, Run
from tenants.models import EvalSet
from tenants.models.eval_set import EvalKind

LATENCY_GATE = "latency"
DEFAULT_LIMIT = 0.10


def work(work: Work) -> dict[str, Any]:
    run, scratch = work.job.run, scratch_of(work.job.pk)
    store = store_of(run.client_id)
    version = ModelVersion.objects.get(run=run)
    production = PipelineState.objects.select_related("production").get(pipeline_id=run.pipeline_id).production
    sets = latest_sets(run.pipeline_id)
    spec = {
        "candidate": str(store.verified(version.gguf_digest)),
        "production": str(store.verified(production.gguf_digest)) if production else None,
        "sets": [_write_set(run, made, scratch) for made in sets],
        "latency": _latency(run),
        "context_tokens": run.revision.settings.criteria.context_tokens,
        "out": str(scratch / "out"),
    }
    facts = run_child(work, "evaluate", spec)
    answers = store.put_file(Path(facts.pop("cases")))
    times = facts.pop("times")
    facts |= {"answers_digest": answers, "times_digest": store.put_file(Path(times)) if times else ""}
    wipe_scratch(work.job.pk)
    versions = {made.kind: made.version for made in sets}
    return facts | {"production_version": production.pk if production else None, "set_versions": versions}


def latest_sets(pipeline_id: int) -> list[EvalSet]:
    """The newest version of each kind of set that the pipeline has."""
    found: dict[str, EvalSet] = {}
    for made in EvalSet.objects.filter(pipeline_id=pipeline_id).order_by("kind", "-version"):
        found.setdefault(made.kind, made)
    return list(found.values())


def _write_set(run: Run, made: EvalSet, scratch: Path) -> dict[str, Any]:
    path = scratch / f"{made.kind}.jsonl"
    cases = made.cases.order_by("id")
    path.write_text("".join(json.dumps(case.as_case(), ensure_ascii=False) + "\n" for case in cases))
    criteria = run.revision.settings.criteria
    is_task = made.kind == EvalKind.HELDOUT
    spec = {
        "name": made.kind,
        "kind": "task" if is_task else made.kind,
        "path": str(path),
        "max_tokens": criteria.max_answer_tokens,
    }
    return spec | ({"metrics": list(criteria.metrics)} if is_task else {})


def _latency(run: Run) -> dict[str, Any] | None:
    """How often to ask for the times; None where no gate wants them."""
    criteria = run.revision.settings.criteria
    gate = next((g for g in run.revision.settings.gates if g.kind == LATENCY_GATE), None)
    if gate is None:
        return None
    return {"calls": criteria.latency_calls, "rounds": criteria.latency_rounds, "rel": gate.limit or DEFAULT_LIMIT}
