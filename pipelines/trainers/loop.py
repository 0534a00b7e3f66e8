"""The training loop of the local trainer: steps, losses, checkpoints, early stopping."""

from __future__ import annotations

import inspect
import math
import time
from dataclasses import asdict, dataclass
from typing import Any

import torch
from peft import get_peft_model_state_dict, set_peft_model_state_dict
from torch.nn.functional import cross_entropy

from pipelines.trainers import Order, Progress, Recipe, TrainerError, checkpoint
from pipelines.trainers.rows import TokenRow, batches

IGNORED = -100  # torch's index of targets without a loss
CLIP_NORM = 1.0


@dataclass
class Position:
    """Where a training stands; saved with every checkpoint."""

    fingerprint: str
    precision: str
    epoch: int = 0
    batch: int = 0
    step: int = 0
    first_loss: float = math.nan
    loss: float = math.nan
    best_loss: float = math.inf
    epochs_without_gain: int = 0
    stopped_early: bool = False
    seconds: float = 0.0


class Loop:
    """Trains `model` in place over `rows`; `run` continues from `at` and returns at the end of the training."""

    def __init__(self, model: Any, order: Order, rows: list[TokenRow], held_back: list[TokenRow], at: Position) -> None:
        self.model, self.order, self.rows, self.held_back, self.at = model, order, rows, held_back, at
        self.recipe = order.recipe
        self.device = next(model.parameters()).device
        self.steps_per_epoch = math.ceil(len(rows) / self.recipe.batch_size)
        self.total_steps = self.steps_per_epoch * self.recipe.epochs
        self.resumed_at = 0
        self._trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self._optimizer = torch.optim.AdamW(self._trainable, lr=self.recipe.learning_rate, weight_decay=0.0)
        self._best: dict[str, torch.Tensor] | None = None
        self._saved_at = self._counted_at = time.monotonic()
        self._keeps_logits = "logits_to_keep" in inspect.signature(model.get_base_model().forward).parameters

    def run(self, progress: Progress) -> None:
        self._saved_at = self._counted_at = time.monotonic()
        while self.at.epoch < self.recipe.epochs and not self.at.stopped_early:
            dealt = batches(self.rows, self.recipe.batch_size, self.recipe.seed, self.at.epoch)
            for batch in dealt[self.at.batch :]:
                self._step(batch)
                self._tell(progress)
                self._maybe_save()
            self._end_epoch()
            self._save()

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a checkpoint: weights, optimizer, random state and position."""
        self.at = Position(**state["position"])
        set_peft_model_state_dict(self.model, state["adapter"])
        self._optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["random"])
        torch.cuda.set_rng_state_all(state["random_cuda"])  # empty, and nothing to do, without a GPU
        self._best = state["best"]
        self.resumed_at = self.at.step

    def restore_best(self) -> None:
        """Take back the epoch with the lowest held-back loss, where early stopping kept one."""
        if self._best is not None:
            set_peft_model_state_dict(self.model, self._best)

    def _step(self, batch: list[TokenRow]) -> None:
        self.model.train()
        for group in self._optimizer.param_groups:
            group["lr"] = self.recipe.learning_rate * rate_factor(self.recipe, self.at.step, self.total_steps)
        loss = self._loss(batch)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise TrainerError(
                f"The loss is {value} at step {self.at.step + 1}: lower the learning rate.", permanent=True
            )
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._trainable, CLIP_NORM)
        self._optimizer.step()
        self._advance(value)

    def _advance(self, loss: float) -> None:
        at = self.at
        at.step += 1
        at.batch += 1
        at.first_loss = loss if math.isnan(at.first_loss) else at.first_loss
        at.loss = loss if math.isnan(at.loss) else 0.9 * at.loss + 0.1 * loss

    def _loss(self, batch: list[TokenRow]) -> torch.Tensor:
        """Mean cross-entropy over the answer tokens of a batch, a scalar.

        The head runs only at the positions that some row's answer needs: for short answers to long prompts it would
        otherwise cost a fifth of the step. Rows are padded on the right, where the causal mask keeps padding harmless.
        """
        tokens, mask, targets = (tensor.to(self.device) for tensor in collate(batch))
        needed = (targets != IGNORED).any(dim=0).nonzero().flatten()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.at.precision == "bf16"):
            extra = {"logits_to_keep": needed} if self._keeps_logits else {}
            logits = self.model(input_ids=tokens, attention_mask=mask, **extra).logits
        logits = logits if self._keeps_logits else logits[:, needed]
        return cross_entropy(logits.float().flatten(0, 1), targets[:, needed].flatten(), ignore_index=IGNORED)

    def _end_epoch(self) -> None:
        self.at.epoch += 1
        self.at.batch = 0
        if self.recipe.early_stopping is None:
            return
        loss = self._held_back_loss()
        if loss < self.at.best_loss - self.recipe.early_stopping.min_delta:
            self.at.best_loss, self.at.epochs_without_gain = loss, 0
            self._best = {name: value.detach().cpu().clone() for name, value in self._adapter().items()}
        else:
            self.at.epochs_without_gain += 1
            self.at.stopped_early = self.at.epochs_without_gain >= self.recipe.early_stopping.patience

    def _held_back_loss(self) -> float:
        self.model.eval()
        size = self.recipe.batch_size
        with torch.no_grad():
            losses = [float(self._loss(self.held_back[i : i + size])) for i in range(0, len(self.held_back), size)]
        return math.fsum(losses) / len(losses)

    def _tell(self, progress: Progress) -> None:
        at, now = self.at, time.monotonic()
        at.seconds += now - self._counted_at
        self._counted_at = now
        left = (self.total_steps - at.step) * at.seconds / at.step
        numbers = {"step": at.step, "steps": self.total_steps, "loss": round(at.loss, 4), "eta_s": round(left, 1)}
        progress(at.step / self.total_steps, f"step {at.step} of {self.total_steps}", numbers)

    def _maybe_save(self) -> None:
        every = self.order.checkpoint_every_steps
        is_due = time.monotonic() - self._saved_at >= self.order.checkpoint_every_s
        if is_due or (every and self.at.step % every == 0):
            self._save()

    def _save(self) -> None:
        state = {
            "fingerprint": self.at.fingerprint,
            "precision": self.at.precision,
            "position": asdict(self.at),
            "adapter": self._adapter(),
            "optimizer": self._optimizer.state_dict(),
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state_all(),
            "best": self._best,
        }
        checkpoint.save(self.order.scratch, state)
        self._saved_at = time.monotonic()

    def _adapter(self) -> dict[str, torch.Tensor]:
        state: dict[str, torch.Tensor] = get_peft_model_state_dict(self.model)
        return state


def collate(batch: list[TokenRow]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(tokens, mask, targets), each (rows, longest). targets[r, i] is the token after i where it is of the answer."""
    longest = max(len(row.tokens) for row in batch)
    tokens = torch.zeros(len(batch), longest, dtype=torch.long)
    mask = torch.zeros_like(tokens)
    targets = torch.full_like(tokens, IGNORED)
    for index, row in enumerate(batch):
        ids = torch.tensor(row.tokens)
        first = max(row.answer_at, 1)
        tokens[index, : len(ids)] = ids
        mask[index, : len(ids)] = 1
        targets[index, first - 1 : len(ids) - 1] = ids[first:]
    return tokens, mask, targets


def rate_factor(recipe: Recipe, step: int, total: int) -> float:
    """Share of the learning rate at a step (from 0): linear warm-up, then the schedule's way down."""
    warmup = round(recipe.warmup_share * total)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    way = (step - warmup) / max(total - warmup, 1)
    match recipe.schedule:
        case "linear":
            return 1.0 - way
        case "cosine":
            return 0.5 * (1.0 + math.cos(math.pi * way))
        case _:
            return 1.0
