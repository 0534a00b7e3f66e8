"""A trainer for tests of the line: a valid LoRA adapter that changes nothing, in milliseconds, without torch."""

from __future__ import annotations

import json
import math
import time

from pipelines.trainers import Order, Progress, Recipe, Trained, TrainerError
from pipelines.trainers.marker import write_marker
from pipelines.trainers.rows import read_conversations

# A safetensors file without tensors: eight bytes of header length, then the header.
NO_TENSORS = (2).to_bytes(8, "little") + b"{}"


class FakeTrainer:
    """Reads the whole dataset and writes an adapter without tensors: peft fills in B = 0, so the merge is the base."""

    def train(self, order: Order, progress: Progress) -> Trained:
        started = time.monotonic()
        examples = sum(1 for _ in read_conversations(order.dataset))
        if not examples:
            raise TrainerError(f"{order.dataset.name} holds no rows.", permanent=True)
        steps = order.recipe.epochs * math.ceil(examples / order.recipe.batch_size)
        progress(0.5, "half way", {"step": steps // 2, "loss": 1.0})
        _write_adapter(order)
        trained = _trained(order, examples, steps, time.monotonic() - started)
        write_marker(order.out, {"trained": trained.as_dict()})
        progress(1.0, "trained", {"step": steps, "loss": 0.1})
        return trained


def _write_adapter(order: Order) -> None:
    order.out.mkdir(parents=True, exist_ok=True)
    (order.out / "adapter_config.json").write_text(json.dumps(_adapter_config(order.recipe), indent=1))
    (order.out / "adapter_model.safetensors").write_bytes(NO_TENSORS)


def _adapter_config(recipe: Recipe) -> dict[str, object]:
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": recipe.lora_rank,
        "lora_alpha": recipe.lora_alpha,
        "target_modules": list(recipe.targets),
    }


def _trained(order: Order, examples: int, steps: int, seconds: float) -> Trained:
    return Trained(
        adapter=order.out,
        trainer="fake",
        steps=steps,
        epochs=float(order.recipe.epochs),
        examples=examples,
        left_out=0,
        first_loss=1.0,
        last_loss=0.1,
        held_out_loss=None,
        stopped_early=False,
        trained_parameters=0,
        seconds=round(seconds, 3),
        device="none",
        precision="none",
        resumed_at_step=0,
    )
