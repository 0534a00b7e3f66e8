"""Job evaluate: candidate and production answer the same cases in the same engine, on the very bytes that ship."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _

from pipelines.artifacts import scratch_of, store_of, wipe_scratch
from pipelines.domain.prompting import with_system
from pipelines.engine.jobs import JobFailed, Work
from pipelines.heavy.arms import host_of, manner_of, on_host
from pipelines.heavy.build import GOLDEN_PROMPTS
from pipelines.heavy.children import run_child
from pipelines.models import ModelVersion, PipelineState, Run
from pipelines.reach import secret_for_child
from tenants.models import EvalSet
from tenants.models.eval_set import EvalKind
from tenants.pipeline_settings import JUDGED

LATENCY_GATE = "latency"
DEFAULT_LIMIT = 0.10


def work(work: Work) -> dict[str, Any]:
    run, scratch = work.job.run, scratch_of(work.job.pk)
    store = store_of(run.client_id)
    arms = arms_of(run)
    version, production = arms["candidate"], arms.get("production")
    chosen = run.revision.settings
    if production is not None and production.is_adopted and chosen.criteria.evaluate_on != "host":
        raise JobFailed(_("v0 is only on its host: set “Measure on” to host in the settings."), permanent=True)
    host = on_host(work, arms) if chosen.criteria.evaluate_on == "host" else None
    sets = latest_sets(run.pipeline_id)
    spec = {
        "candidate": str(store.verified(version.gguf_digest)),
        "production": str(store.verified(production.gguf_digest)) if production and not production.is_adopted else None,
        "adapters": {a: str(store.verified(v.lora_digest)) for a, v in arms.items() if v.lora_digest and not host},
        "sets": [write_set(run, made, scratch) for made in sets],
        "latency": _latency(run),
        "own_metrics": settings.OWN_METRICS,
        "context_tokens": chosen.criteria.context_tokens,
        "manners": {arm: manner_of(one, chosen) for arm, one in arms.items()},
        "host": host,
        "out": str(scratch / "out"),
    }
    secret = secret_for_child(host_of(run)) if host else {}
    facts = run_child(work, "evaluate", spec, network=host is not None, secret=secret)
    golden = golden_answers(Path(facts["cases"]), sets, version)
    answers = store.put_file(Path(facts.pop("cases")))
    times = facts.pop("times")
    facts |= {"answers_digest": answers, "times_digest": store.put_file(Path(times)) if times else ""}
    wipe_scratch(work.job.pk)
    versions = {made.kind: made.version for made in sets}
    known = {"production_version": production.pk if production else None, "set_versions": versions}
    return facts | known | {"golden_answers": golden}


def arms_of(run: Run) -> dict[str, ModelVersion]:
    """The versions that answer: the run's own, and production where there is one."""
    related = ("pipeline", "client", "run__revision")
    versions = ModelVersion.objects.select_related(*related)
    production = PipelineState.objects.get(pipeline_id=run.pipeline_id).production_id
    arms = {"candidate": versions.get(run=run)}
    return arms | ({"production": versions.get(pk=production)} if production else {})


def golden_answers(cases: Path, sets: list[EvalSet], version: ModelVersion) -> list[dict[str, Any]]:
    """The first held-out questions as they are asked, and what the candidate answers: every host's smoke test."""
    asked = {case.key: case.messages for made in sets if made.kind == EvalKind.HELDOUT for case in made.cases.all()}
    found: list[dict[str, Any]] = []
    with cases.open(encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            if row["set"] == EvalKind.HELDOUT and row["arm"] == "candidate" and len(found) < GOLDEN_PROMPTS:
                messages = with_system(asked[row["id"]], version.system, version.replaces_system)
                limit = version.run.revision.settings.criteria.max_answer_tokens
                found.append({"messages": messages, "text": row["answer"], "max_tokens": limit})
    return found


def latest_sets(pipeline_id: int) -> list[EvalSet]:
    """The newest version of each kind of set that the pipeline has."""
    found: dict[str, EvalSet] = {}
    for made in EvalSet.objects.filter(pipeline_id=pipeline_id).order_by("kind", "-version"):
        found.setdefault(made.kind, made)
    return list(found.values())


def write_set(run: Run, made: EvalSet, scratch: Path) -> dict[str, Any]:
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
    return spec | ({"metrics": [m for m in criteria.metrics if m != JUDGED]} if is_task else {})


def _latency(run: Run) -> dict[str, Any] | None:
    """How often to ask for the times; None where no gate wants them."""
    criteria = run.revision.settings.criteria
    gate = next((g for g in run.revision.settings.gates if g.kind == LATENCY_GATE), None)
    if gate is None:
        return None
    plan = {"calls": criteria.latency_calls, "rounds": criteria.latency_rounds}
    return plan | {"rel": gate.limit or DEFAULT_LIMIT, "floor_ms": criteria.latency_floor_ms}
