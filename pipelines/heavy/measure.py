"""Job evaluate: candidate and production answer the same cases in the same engine, on the very bytes that ship."""

from __future__ import annotations

import json
from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _

from pipelines.artifacts import store_of
from pipelines.domain.prompting import with_system
from pipelines.engine.jobs import JobFailed, Work
from pipelines.heavy.arms import host_of, manner_of, on_host
from pipelines.heavy.build import GOLDEN_PROMPTS
from pipelines.heavy.errands import carry
from pipelines.models import ModelVersion, PipelineState, Run
from pipelines.reach import secret_for_child
from pipelines.records.dataset import questions
from pipelines.validation.leakage import trained_cases
from pipelines.work.errand import Done, Errand, Input, Step
from tenants.models import EvalSet
from tenants.models.eval_set import EvalKind
from tenants.pipeline_settings import JUDGED, PipelineSettings

LATENCY_GATE = "latency"


def work(work: Work) -> dict[str, Any]:
    run = work.job.run
    if not is_on_host(run):
        return carry(work, prepare, keep)
    host = on_host(work, arms_of(run))
    return carry(work, partial(_prepared, host=host), keep, secret_for_child(host_of(run)))


def is_on_host(run: Run) -> bool:
    """Measured on a host of the client, by the worker that is let in there."""
    return bool(run.revision.settings.criteria.evaluate_on == "host")


def may_leave(run: Run) -> bool:
    return not is_on_host(run)


def prepare(work: Work) -> Errand:
    """By the engine of whoever carries it out."""
    return _prepared(work, host=None)


def _prepared(work: Work, host: dict[str, Any] | None) -> Errand:
    run = work.job.run
    arms, chosen = arms_of(run), run.revision.settings
    production = arms.get("production")
    if production is not None and production.is_adopted and host is None:
        raise JobFailed(_("v0 is only on its host: set “Measure on” to host in the settings."), permanent=True)
    sets, inputs = latest_sets(run.pipeline_id), {}
    for arm, version in arms.items():
        if not version.is_adopted:
            inputs[arm] = Input("file", version.gguf_digest)
        if version.lora_digest and host is None:
            inputs[f"{arm}-lora"] = Input("file", version.lora_digest)
    left_out = {made.kind: trained_by(run, made) for made in sets}
    spec = {
        **{arm: {"@in": arm} if arm in inputs else None for arm in ("candidate", "production")},
        "adapters": {arm: {"@in": f"{arm}-lora"} for arm in arms if f"{arm}-lora" in inputs},
        "sets": [_set_in(run, made, inputs, left_out[made.kind]) for made in sets],
        **in_errand(latency_plan(chosen)),
        "own_metrics": settings.OWN_METRICS,
        "context_tokens": chosen.criteria.context_tokens,
        "manners": {arm: manner_of(one, chosen) for arm, one in arms.items()},
        "host": host,
        "out": {"@out": ""},
    }
    facts: dict[str, Any] = {
        "sets": [made.pk for made in sets],
        "production": production.pk if production else None,
    }
    facts["left_out"] = {kind: len(cases) for kind, cases in left_out.items() if cases}
    return Errand(inputs, (Step("evaluate", spec),), {"cases.jsonl": "file", "latency.jsonl": "file"}, facts)


def trained_by(run: Run, made: EvalSet) -> set[int]:
    """Held-out cases that came after one of the arms had trained on their very questions: it would win by heart.

    What must never fail is asked all the same.
    """
    if made.kind != EvalKind.HELDOUT:
        return set()
    arms = arms_of(run)
    if len({version.dataset_id for version in arms.values()}) < len(arms):
        return set()  # They know the same: a prompt's version has its parent's weights.
    known = {arm: _learnt(run, version, made) for arm, version in arms.items()}
    mine = known["candidate"]
    # Where production knows all that is left, it is asked all the same: no later run could change that.
    for found in (mine | known.get("production", set()), mine):
        if not found or made.cases.exclude(pk__in=found).exists():
            return found
    raise JobFailed(
        _("Every case of the new held-out set asks what this run has trained on. Put other cases, or run again."),
        permanent=True,
    )


def _learnt(run: Run, version: ModelVersion, made: EvalSet) -> set[int]:
    """The cases of the set that are newer than what the version trained on, and ask the same."""
    dataset = version.dataset
    if dataset is None:
        return set()
    return trained_cases(made, dataset, questions(dataset), run.revision.settings.data.near_duplicate_jaccard)


def _set_in(run: Run, made: EvalSet, inputs: dict[str, Input], left_out: set[int]) -> dict[str, Any]:
    name = f"{made.kind}.jsonl"
    inputs[name] = Input("file", store_of(run.client_id).put_bytes(_lines_of(made, left_out)))
    return _set_spec(run, made) | {"path": {"@in": name}}


def keep(work: Work, errand: Errand, done: Done) -> dict[str, Any]:
    run, cases, times = work.job.run, done.out / "cases.jsonl", done.out / "latency.jsonl"
    facts = dict(done.said["evaluate"])
    version = ModelVersion.objects.select_related("run__revision").get(run=run)
    _check_arms(facts, errand)
    sets = list(EvalSet.objects.filter(pk__in=errand.facts["sets"]).order_by("kind"))
    golden = golden_answers(cases, sets, version)
    store = store_of(run.client_id)
    for path in ("cases", "times"):
        facts.pop(path, None)
    facts |= {
        "answers_digest": store.put_file(cases),
        "times_digest": store.put_file(times) if facts.get("latency") else "",
    }
    known = {
        "production_version": errand.facts["production"],
        "set_versions": {made.kind: made.version for made in sets},
        "left_out": errand.facts.get("left_out", {}),
        "set_files": {made.kind: errand.inputs[f"{made.kind}.jsonl"].digest for made in sets},
    }
    return facts | known | {"golden_answers": golden}


def _check_arms(facts: dict[str, Any], errand: Errand) -> None:
    """What was measured are the very files that the errand named."""
    for arm in ("candidate", "production"):
        files = [errand.inputs[name].digest for name in (arm, f"{arm}-lora") if name in errand.inputs]
        if files and not errand.steps[0].spec["host"] and facts.get(f"{arm}_digest") != "+".join(files):
            raise JobFailed(_("Other files were measured than those of this run."), permanent=True)


def arms_of(run: Run) -> dict[str, ModelVersion]:
    """The versions that answer: the run's own, and production where there is one."""
    related = ("pipeline", "client", "run__revision", "dataset")
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
    path.write_bytes(_lines_of(made))
    return _set_spec(run, made) | {"path": str(path)}


def _lines_of(made: EvalSet, left_out: Collection[int] = ()) -> bytes:
    cases = made.cases.exclude(pk__in=left_out).order_by("id")
    return "".join(json.dumps(case.as_case(), ensure_ascii=False) + "\n" for case in cases).encode()


def _set_spec(run: Run, made: EvalSet) -> dict[str, Any]:
    criteria = run.revision.settings.criteria
    is_task = made.kind == EvalKind.HELDOUT
    spec = {"name": made.kind, "kind": "task" if is_task else made.kind, "max_tokens": criteria.max_answer_tokens}
    return spec | ({"metrics": [m for m in criteria.metrics if m != JUDGED]} if is_task else {})


def in_errand(plan: dict[str, Any] | None) -> dict[str, Any]:
    """In the errand's terms."""
    return {"latency": plan, "latency_further": plan.pop("further", []) if plan else []}


def latency_plan(chosen: PipelineSettings) -> dict[str, Any] | None:
    """How often to ask for the times; None where no gate wants them.

    Rounds go on while a gate of rule `within` that decides cannot tell, or one that only notes where none decides. A
    limit in milliseconds is judged on whatever there is.
    """
    gates, criteria = [gate for gate in chosen.gates if gate.kind == LATENCY_GATE], chosen.criteria
    if not gates:
        return None
    relative = [gate for gate in gates if gate.rule == "within"]
    deciding = [gate for gate in relative if gate.effect == "block" and not gate.shadow]
    limits = sorted({gate.limit for gate in deciding or relative if gate.limit is not None})
    plan: dict[str, Any] = {"calls": criteria.latency_calls, "floor_ms": criteria.latency_floor_ms}
    if not limits:
        return plan | {"rounds": 1}
    rel, *further = limits
    return plan | {"rounds": criteria.latency_rounds, "rel": rel} | ({"further": further} if further else {})
