"""Work `train`: a base model and a dataset in, an adapter with its completion marker out.

spec: {trainer, base, dataset, recipe, scratch, out, checkpoint_every_s?, checkpoint_every_steps?, site?, secret?}.
result: the facts of pipelines.trainers.Trained. A GGUF that came back is judged by its header at once.
{goes_on: {after_s, note, error}} where the training is under way elsewhere; error: it did not answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.trainers import GoesOn, Order, Recipe, load
from pipelines.work.gguf_header import check
from pipelines.work.report import Report


def run(spec: Mapping[str, Any], report: Report) -> dict[str, Any]:
    trainer = load(spec.get("trainer", "peft"))

    def progress(share: float, note: str, numbers: Mapping[str, float | int | str]) -> None:
        report.progress(share, note, numbers)

    try:
        trained = trainer.train(_order(spec), progress)
    except GoesOn as under_way:
        report.progress(under_way.share, under_way.note, under_way.numbers, force=True)
        return {"goes_on": {"after_s": under_way.after_s, "note": under_way.note, "error": under_way.error}}
    for path in trained.adapter.glob("*.gguf"):
        check(path)
    return trained.as_dict()


def _order(spec: Mapping[str, Any]) -> Order:
    return Order(
        base=Path(spec["base"]),
        dataset=Path(spec["dataset"]),
        recipe=Recipe.parse(spec.get("recipe", {})),
        scratch=Path(spec["scratch"]),
        out=Path(spec["out"]),
        checkpoint_every_s=spec.get("checkpoint_every_s", 30.0),
        checkpoint_every_steps=spec.get("checkpoint_every_steps"),
        site=spec.get("site", {}),
        secret=spec.get("secret", {}),
    )


def recall(spec: Mapping[str, Any], report: Report) -> dict[str, Any]:
    """Work `recall`: a training at a service that nobody waits for any more is ended there, and its rows removed."""
    from pipelines.trainers.remote import recall as recall_order

    return recall_order(_order(spec))
