"""Work `train`: a base model and a dataset in, an adapter with its completion marker out.

spec: {trainer, base, dataset, recipe, scratch, out, checkpoint_every_s?, checkpoint_every_steps?}.
result: the facts of pipelines.trainers.Trained.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.trainers import Order, Recipe, load
from pipelines.work.report import Report


def run(spec: Mapping[str, Any], report: Report) -> dict[str, Any]:
    trainer = load(spec.get("trainer", "peft"))

    def progress(share: float, note: str, numbers: Mapping[str, float | int | str]) -> None:
        report.progress(share, note, numbers)

    return trainer.train(_order(spec), progress).as_dict()


def _order(spec: Mapping[str, Any]) -> Order:
    return Order(
        base=Path(spec["base"]),
        dataset=Path(spec["dataset"]),
        recipe=Recipe.parse(spec.get("recipe", {})),
        scratch=Path(spec["scratch"]),
        out=Path(spec["out"]),
        checkpoint_every_s=spec.get("checkpoint_every_s", 30.0),
        checkpoint_every_steps=spec.get("checkpoint_every_steps"),
    )
