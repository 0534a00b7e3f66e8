"""The demo's two clients: their criteria, thresholds and schedules, and what differs from the product's defaults."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from agency.demo.pace import pace_of
from tenants.models.settings_revision import flatten
from tenants.pipeline_settings import PipelineSettings, default_gates

DATA = Path(__file__).parent / "data"

COOLDOWN_S = 0


@dataclass(frozen=True)
class DemoClient:
    """A client as the demo sets it up. `choices` are its own criteria, thresholds and schedules."""

    slug: str
    name: str
    pipeline: str
    timezone: str
    choices: dict[str, Any]

    def rows(self, drop: str) -> bytes:
        return (DATA / self.slug / f"{drop}.jsonl").read_bytes()

    def cases(self, kind: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.rows(kind).splitlines() if line.strip()]

    def prompts(self) -> list[list[dict[str, str]]]:
        return [case["messages"] for case in self.cases("traffic")]

    def settings(self, base: str) -> dict[str, Any]:
        """The recipe is the one that its data was measured with (data/README.md)."""
        pace = pace_of(base)
        triggers = {"cooldown_s": COOLDOWN_S} | self.choices.get("triggers", {})
        return pace.settings | self.choices | {"triggers": triggers, "recipe": {"base": base} | pace.recipe}


def _gates(metric: str) -> list[dict[str, Any]]:
    return [gate.model_dump(mode="json") for gate in default_gates(metric)]


@cache
def labels() -> list[str]:
    rows = (json.loads(line) for line in HERONBROOK.rows("heldout").splitlines() if line.strip())
    return sorted({label for row in rows for label in row["expected"]["labels"]})


HERONBROOK = DemoClient("heronbrook", "Heronbrook Broadband", "sorting", "Europe/London", {})
COPPERLEAF = DemoClient(
    "copperleaf",
    "Copperleaf Kitchens",
    "requests",
    "Europe/Madrid",
    {
        "criteria": {
            "metrics": ["json_fields"],
            "output": {"kind": "json", "fields": ["product", "request"]},
        },
        "gates": _gates("json_fields"),
        "triggers": {"schedule": {"rule": "FREQ=MONTHLY;BYDAY=+1TU", "at": "04:00"}, "new_examples": 1000},
        "recipients": ["models@copperleaf.example"],
    },
)


def heronbrook() -> DemoClient:
    """With its closed set of labels, which its evaluation cases name."""
    choices = {
        "criteria": {"metrics": ["accuracy", "f1_macro"], "output": {"kind": "label", "labels": labels()}},
        "triggers": {"schedule": {"rule": "FREQ=WEEKLY;BYDAY=SU", "at": "02:30"}, "new_examples": 800},
        "data": {"max_label_shift": 0.25},
        "recipients": ["team@heronbrook.example"],
    }
    return DemoClient(HERONBROOK.slug, HERONBROOK.name, HERONBROOK.pipeline, HERONBROOK.timezone, choices)


def changed_settings(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """{setting, default, demo} of each value that differs from the product's defaults."""
    ours = flatten(PipelineSettings.model_validate(body).model_dump(mode="json"))
    defaults = flatten(PipelineSettings().model_dump(mode="json"))
    for path in sorted(ours.keys() | defaults.keys()):
        if ours.get(path) != defaults.get(path):
            yield {"setting": path, "default": defaults.get(path), "demo": ours.get(path)}
