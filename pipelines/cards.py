"""The version card: every fact about a model version, for pages, the API and `version.yaml` beside the artifact."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from typing import Any

import yaml

from pipelines.models import GateResult, ModelVersion, Placement, Scorecard


def version_card(version: ModelVersion) -> dict[str, Any]:
    """Plain JSON values; digests are SHA-256 in hex, times ISO 8601 in UTC, sizes bytes, durations seconds.

    What only the build knew comes from `version.card` (pipelines.records.version); what has no place of its own here is
    given under "facts". What is not known is null.
    """
    run, kept = version.run, copy.deepcopy(version.card)
    recipe = kept.pop("recipe", None) or run.revision.settings.recipe.model_dump(mode="json")
    return {
        "client": version.client.slug,
        "pipeline": version.pipeline.slug,
        "version": version.label,
        "status": version.status,
        "run": {"id": run.pk, "number": run.number, "occasion": run.occasion},
        "prompt": _prompt(version),
        "base_model": {"name": kept.pop("base_model", recipe["base"]), "digest": kept.pop("base_digest", None)},
        "dataset": _dataset(version),
        "training": _training(recipe, kept),
        "conversion": {
            "converter_digest": kept.pop("converter_digest", None),
            "quantisation": kept.pop("quantisation", recipe["quantisation"]),
        },
        "gguf": {"digest": version.gguf_digest, "bytes": version.gguf_bytes} | kept.pop("gguf", {}),
        "template_digest": version.template_digest or None,
        "adapter_digest": version.adapter_digest or None,
        "lora_digest": version.lora_digest or None,
        "scorecard": _scorecard(version),
        "gates": [_gate(gate) for gate in run.gates.all()],
        "settings_revision": {"number": run.revision.number, "digest": run.revision.digest},
        "placements": [_placement(row) for row in version.placements.select_related("host")],
        "approved_by": version.approved_by or None,
        "created_at": _moment(version.created_at),
        "promoted_at": _moment(version.promoted_at),
        "facts": kept,
    }


def facts_of(version: ModelVersion) -> dict[str, Any]:
    """What the ledger keeps of a version when traffic moves to it, as plain JSON values.

    `template` is the digest of the prompt template, `dataset` and `gguf` those of the bytes.
    """
    run, dataset = version.run, version.dataset
    gates = GateResult.objects.filter(run=run).order_by("position").values_list("name", "verdict")
    hosts = Placement.objects.filter(version=version, status="placed").order_by("host__name")
    return {
        "version": version.label,
        "run": run.number,
        "gguf": version.gguf_digest,
        **({"lora": version.lora_digest} if version.lora_digest else {}),
        "template": version.template_digest,
        "dataset": dataset.digest if dataset else None,
        "settings": f"r{run.revision.number} {run.revision.digest}",
        "gates": dict(gates),
        "approved_by": version.approved_by or None,
        "hosts": list(hosts.values_list("host__name", flat=True)),
    }


def version_yaml(version: ModelVersion) -> str:
    """The card as YAML 1.1, keys in the card's own order."""
    text: str = yaml.safe_dump(version_card(version), sort_keys=False, allow_unicode=True, width=120)
    return text


def _dataset(version: ModelVersion) -> dict[str, Any] | None:
    data = version.dataset
    if data is None:
        return None
    return {"digest": data.digest, "rows_total": data.rows_total, "rows_new": data.rows_new, "labels": data.labels}


def _prompt(version: ModelVersion) -> dict[str, Any] | None:
    """What a prompt version has of its own; null where the weights are new."""
    if version.parent is None:
        return None
    own = {"system": version.system, "replaces_system": version.replaces_system, "parameters": version.parameters}
    return {"weights_of": version.parent.label} | own


def _training(recipe: dict[str, Any], kept: dict[str, Any]) -> dict[str, Any]:
    shown_elsewhere = {"base", "trainer", "quantisation"}
    measured = kept.pop("training", {})
    return {
        "method": kept.pop("method", "LoRA"),
        "trainer": kept.pop("trainer", recipe["trainer"]),
        "origin": kept.pop("origin", None),
        "hyperparameters": {name: value for name, value in recipe.items() if name not in shown_elsewhere},
        "seconds": kept.pop("training_s", None),
        "device": measured.pop("device", None),
        "measured": measured,
    }


def _scorecard(version: ModelVersion) -> dict[str, Any] | None:
    score = Scorecard.objects.select_related("production").filter(version=version).first()
    if score is None:
        return None
    return {
        "production": score.production.label if score.production else None,
        "metrics": score.metrics,
        "cases": score.cases,
        "latency_ms": score.latency_ms,
        "answers_digest": score.answers_digest,
        "engine": score.engine,
        "measured_at": _moment(score.created_at),
    }


def _gate(gate: GateResult) -> dict[str, Any]:
    return {
        "name": gate.name,
        "effect": gate.effect,
        "shadow": gate.is_shadow,
        "verdict": gate.verdict,
        "sentence": gate.sentence,
        "numbers": gate.numbers,
        "judge_version": gate.judge_version,
    }


def _placement(row: Placement) -> dict[str, Any]:
    return {"host": row.host.name, "model": row.model_name, "status": row.status, "placed_at": _moment(row.placed_at)}


def _moment(at: datetime | None) -> str | None:
    return at.astimezone(UTC).isoformat() if at else None
