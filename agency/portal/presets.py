"""Three starting points for a pipeline: what is measured, and what a good answer looks like."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from tenants.pipeline_settings import default_gates

Body = Callable[[Sequence[str], Sequence[str]], dict[str, Any]]


@dataclass(frozen=True)
class Preset:
    label: str | Promise
    body: Body


def _settings(metrics: Sequence[str], output: dict[str, Any], answer_tokens: int) -> dict[str, Any]:
    gates = [gate.model_dump(mode="json") for gate in default_gates(metrics[0])]
    criteria = {"metrics": list(metrics), "output": output, "max_answer_tokens": answer_tokens}
    return {"criteria": criteria, "gates": gates}


def _classification(labels: Sequence[str], fields: Sequence[str]) -> dict[str, Any]:
    return _settings(("accuracy", "f1_macro"), {"kind": "label", "labels": list(labels)}, 16)


def _extraction(labels: Sequence[str], fields: Sequence[str]) -> dict[str, Any]:
    return _settings(("json_fields", "exact_match"), {"kind": "json", "fields": list(fields)}, 96)


def _writing(labels: Sequence[str], fields: Sequence[str]) -> dict[str, Any]:
    return _settings(("rougeL", "rouge1"), {"kind": "text"}, 256)


PRESETS: dict[str, Preset] = {
    "classification": Preset(_("Classification: one label out of a closed set"), _classification),
    "extraction": Preset(_("Extraction: JSON with fixed fields"), _extraction),
    "writing": Preset(_("Answer writing: free text in the client's voice"), _writing),
}
