"""The version card: every fact about a model version, for pages, the API and `version.yaml` beside the artifact."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import yaml

from pipelines.models import GateResult, ModelVersion, Placement, Scorecard


def version_card(version: ModelVersion) -> dict[str, Any]:
    """Plain JSON values; digests are SHA-256 in hex, times ISO 8601 in UTC, sizes bytes, durations seconds.

    `version.card` is expected to hold what only the build knew: base_digest, method, trainer, training_s, device, converter,
    quantisation, and whatever else is worth keeping (shown under "facts"). What is not known yet is null.
    """
    run, kept = version.run, dict(version.card)
    recipe = run.revision.settings.recipe.model_dump(mode="json")
    return {
        "client": version.client.slug,
        "pipeline": version.pipeline.slug,
        "version": version.label,
        "status": version.status,
        "run": {"id": run.pk, "number": run.number, "occasion": run.occasion},
        "base_model": {"name": recipe["base"], "digest": kept.pop("base_digest", None)},
        "dataset": _dataset(version),
        "training": _training(recipe, kept),
        "conversion": {
            "converter": kept.pop("converter", None),
            "quantisation": kept.pop("quantisation", recipe["quantisation"]),
        },
        "gguf": {"digest": version.gguf_digest, "bytes": version.gguf_bytes},
        "template_digest": version.template_digest or None,
        "adapter_digest": version.adapter_digest or None,
        "scorecard": _scorecard(version),
        "gates": [_gate(gate) for gate in run.gates.all()],
        "settings_revision": {"number": run.revision.number, "digest": run.revision.digest},
        "placements": [_placement(row) for row in version.placements.select_related("host")],
        "approved_by": version.approved_by or None,
        "created_at": _moment(version.created_at),
        "promoted_at": _moment(version.promoted_at),
        "facts": kept,
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


def _training(recipe: dict[str, Any], kept: dict[str, Any]) -> dict[str, Any]:
    shown_elsewhere = {"base", "trainer", "quantisation"}
    return {
        "method": kept.pop("method", "LoRA"),
        "trainer": kept.pop("trainer", recipe["trainer"]),
        "hyperparameters": {name: value for name, value in recipe.items() if name not in shown_elsewhere},
        "seconds": kept.pop("training_s", None),
        "device": kept.pop("device", None),
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
