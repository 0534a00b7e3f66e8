"""The local trainer: LoRA by peft on this machine's processor or GPU, resumable, deterministic by seed."""

from __future__ import annotations

import os
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from pipelines.trainers import Order, Progress, Recipe, Trained, TrainerError, checkpoint, precision
from pipelines.trainers.loop import Loop, Position
from pipelines.trainers.marker import MARKER, require_marker, write_marker
from pipelines.trainers.rows import hold_back, read_conversations, tokenise


class PeftTrainer:
    """Loss on the answer only; checkpoints in `order.scratch`; a killed training reaches the same steps and weights."""

    def train(self, order: Order, progress: Progress) -> Trained:
        print_of_order = checkpoint.fingerprint(order)
        if finished := _finished(order.out, print_of_order):
            return finished
        order.scratch.mkdir(parents=True, exist_ok=True)
        state = checkpoint.load(order.scratch, print_of_order)
        loop, left_out = _prepare(order, state, print_of_order)
        loop.run(progress)
        return _finish(order, loop, left_out, print_of_order)


def _finished(out: Path, print_of_order: str) -> Trained | None:
    """The recorded facts, if this very order has been carried out already."""
    if not (out / MARKER).is_file():
        return None
    content = require_marker(out)
    if content.get("fingerprint") != print_of_order:
        return None
    told = content["trained"]
    facts = {field.name: told[field.name] for field in fields(Trained) if field.name in told}
    return Trained(**{**facts, "adapter": out})


def _prepare(order: Order, state: dict[str, Any] | None, print_of_order: str) -> tuple[Loop, int]:
    recipe = order.recipe
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it cuBLAS sums in no fixed order
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.manual_seed(recipe.seed)
    tokenizer = AutoTokenizer.from_pretrained(order.base)
    rows, left_out = tokenise(tokenizer, read_conversations(order.dataset), recipe.max_tokens)
    stopping = recipe.early_stopping
    training, held_back = hold_back(rows, stopping.share, recipe.seed) if stopping else (rows, [])
    device = "cuda" if torch.cuda.is_available() else "cpu"
    chosen = state["precision"] if state else precision.choose(recipe.precision, device)
    model = _adapted(order.base, recipe, chosen).to(device)
    loop = Loop(model, order, training, held_back, Position(print_of_order, chosen))
    if state:
        loop.restore(state)
    return loop, left_out


def _adapted(base: Path, recipe: Recipe, chosen: str) -> Any:
    kind = torch.bfloat16 if chosen == "bf16" else torch.float32
    model = AutoModelForCausalLM.from_pretrained(base, dtype=kind)
    model.config.use_cache = False
    config = LoraConfig(
        r=recipe.lora_rank,
        lora_alpha=recipe.lora_alpha,
        lora_dropout=recipe.lora_dropout,
        target_modules=list(recipe.targets),
        task_type="CAUSAL_LM",
    )
    try:
        return get_peft_model(model, config)
    except ValueError as problem:
        raise TrainerError(f"The recipe's targets do not fit the base model: {problem}", permanent=True) from problem


def _finish(order: Order, loop: Loop, left_out: int, print_of_order: str) -> Trained:
    loop.restore_best()
    order.out.mkdir(parents=True, exist_ok=True)
    (order.out / MARKER).unlink(missing_ok=True)
    loop.model.save_pretrained(order.out)
    trained = _facts(order, loop, left_out)
    write_marker(order.out, {"fingerprint": print_of_order, "trained": trained.as_dict()})
    return trained


def _facts(order: Order, loop: Loop, left_out: int) -> Trained:
    at = loop.at
    return Trained(
        adapter=order.out,
        trainer="peft",
        steps=at.step,
        epochs=round(at.step / loop.steps_per_epoch, 2),
        examples=len(loop.rows) + len(loop.held_back),
        left_out=left_out,
        first_loss=round(at.first_loss, 4),
        last_loss=round(at.loss, 4),
        held_out_loss=round(at.best_loss, 4) if loop.held_back else None,
        stopped_early=at.stopped_early,
        trained_parameters=sum(p.numel() for p in loop.model.parameters() if p.requires_grad),
        seconds=round(at.seconds, 1),
        device=str(loop.device),
        precision=at.precision,
        resumed_at_step=loop.resumed_at,
    )
