"""Chooses the arithmetic of a training by trying it: bf16 is twice as fast on some processors and slower on others."""

from __future__ import annotations

import time

import torch

TOKENS = 512
BUDGET_S = 0.05
# bf16 must win clearly: it costs accuracy, and a near tie on a busy machine is noise.
CLEAR_WIN = 1.15


def choose(wanted: str, device: str, width: int) -> str:
    """ "fp32" or "bf16" for a model of that hidden width; a wish other than "auto" is granted."""
    if wanted != "auto":
        return wanted
    if device == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    return "bf16" if _seconds(width, torch.float32) > CLEAR_WIN * _seconds(width, torch.bfloat16) else "fp32"


def _seconds(width: int, kind: torch.dtype) -> float:
    """Best time of one forward and backward pass of a linear layer; the first pass only warms up."""
    rows = torch.ones(TOKENS, width, dtype=kind, requires_grad=True)
    weight = torch.ones(3 * width, width, dtype=kind)
    times = [_one_pass(rows, weight)]
    deadline = time.perf_counter() + BUDGET_S / 2
    while len(times) < 3 or time.perf_counter() < deadline:
        times.append(_one_pass(rows, weight))
    return min(times[1:])


def _one_pass(rows: torch.Tensor, weight: torch.Tensor) -> float:
    started = time.perf_counter()
    torch.nn.functional.linear(rows, weight).sum().backward()
    return time.perf_counter() - started
