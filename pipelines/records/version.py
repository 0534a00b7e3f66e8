"""Making a model version out of a run's jobs: its number, its bytes and the facts of its card."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction

from pipelines.models import DatasetVersion, Job, ModelVersion, PipelineState, Run

BYTES = ("gguf_digest", "gguf_bytes", "template_digest", "adapter_digest", "lora_digest")


@transaction.atomic
def make_version(run: Run, dataset: DatasetVersion | None, now: datetime) -> ModelVersion:
    """The run's version; the next number of its pipeline the first time, found afterwards."""
    found = ModelVersion.objects.filter(run=run).first()
    if found is not None:
        return found
    number = _next_number(run)
    jobs = {job.kind: job for job in Job.objects.filter(run=run)}
    built = jobs["build"].result
    fields = {
        "number": number,
        "gguf_digest": built["digest"],
        "gguf_bytes": built["size_bytes"],
        "template_digest": built.get("template_digest") or "",
        "lora_digest": built.get("lora_digest", ""),
        "adapter_digest": jobs["train"].result.get("adapter_digest", ""),
        "created_at": now,
        "card": card(run, jobs),
    }
    made = ModelVersion.of(run, pipeline_id=run.pipeline_id, run=run, dataset=dataset, **fields)
    made.save()
    return made


@dataclass(frozen=True)
class Prompt:
    """What a prompt run changes: the system prompt, whether it replaces an application's own, parameters of hosts."""

    system: str
    replaces: bool
    parameters: dict[str, Any]


def make_prompt_version(run: Run, parent: ModelVersion, prompt: Prompt, now: datetime) -> ModelVersion:
    """The parent's bytes under a new prompt: a version of its own, with its own number and card."""
    # Which answers the file gives under the new prompt is known once it is evaluated.
    facts = {name: value for name, value in parent.card.items() if name != "golden_answers"}
    made = ModelVersion.of(
        run,
        run=run,
        pipeline_id=run.pipeline_id,
        number=_next_number(run),
        parent=parent,
        system=prompt.system,
        replaces_system=prompt.replaces,
        parameters=prompt.parameters,
        created_at=now,
        card=facts,
        dataset=parent.dataset,
        **{name: getattr(parent, name) for name in BYTES},
    )
    made.save()
    return made


def same_version(run: Run, source: ModelVersion, dataset: DatasetVersion | None, now: datetime) -> ModelVersion:
    """What another run made, as a version of this one: `same_as` on its card names it."""
    own = {"run": run, "pipeline_id": run.pipeline_id, "number": _next_number(run), "created_at": now}
    own |= {"dataset": dataset, "card": source.card | {"same_as": source.label}}
    prompt = ("parent", "system", "replaces_system", "parameters")
    made = ModelVersion.of(run, **own, **{name: getattr(source, name) for name in (*BYTES, *prompt)})
    made.save()
    return made


def _next_number(run: Run) -> int:
    state = PipelineState.objects.select_for_update().get(pipeline_id=run.pipeline_id)
    state.last_version_number += 1
    state.save(update_fields=["last_version_number"])
    return state.last_version_number


NOT_ON_CARDS = ("adapter_digest", "template", "origin")


def _method(kind: str, is_apart: bool) -> str:
    if kind != "adapter":
        return "trained elsewhere, a GGUF" if kind == "gguf" else "trained elsewhere, merged there"
    return "LoRA, apart from the base" if is_apart else "LoRA, merged"


def _origin(run: Run, trained: Job) -> dict[str, Any]:
    """Where the weights came from, if not from a training of ours: who brought which file when, what a service said."""
    told = trained.result.get("origin") or {}
    template = trained.result.get("template") or {}
    approved = {"template_approved": run.approvals.get("finetune", [])} if template.get("differs") else {}
    return {"origin": {**run.occasion.get("bundle", {}), **told, **approved}} if told else {}


def card(run: Run, jobs: dict[str, Job]) -> dict[str, Any]:
    """Facts of the version card that have no column.

    Base, method, hyperparameters, trainer, converter, verification.
    """
    recipe = run.revision.settings.recipe
    trained, built, checked = jobs["train"], jobs["build"].result, jobs["preflight"].result
    started, finished = trained.started_at, trained.finished_at
    return {
        "base_model": recipe.base,
        "base_digest": checked.get("base_digest", ""),
        "method": _method(trained.result.get("kind", "adapter"), bool(built.get("lora_digest"))),
        "recipe": recipe.model_dump(mode="json"),
        "trainer": trained.result.get("trainer", recipe.trainer),
        "training": {name: value for name, value in trained.result.items() if name not in NOT_ON_CARDS},
        "training_s": round((finished - started).total_seconds(), 1) if started and finished else None,
        "converter_digest": built.get("converter_digest", ""),
        "quantisation": built.get("quantisation", recipe.quantisation),
        "gguf": {
            k: built.get(k) for k in ("architecture", "file_type", "parameter_count", "tensor_types", "vocabulary")
        },
        "golden_answers": built.get("answers", []),
        "parity": built.get("parity", []),
    } | _origin(run, trained)
