"""Chooses the arithmetic of a training by what its processor can do, never by a clock: on a busy machine the same order
would otherwise give other weights each time."""

from __future__ import annotations

import torch

# Without its matrix tiles a processor gains nothing from bf16: 0.7 to 0.9 times the speed of fp32 (docs/LOG.md).
TILES = "amx_bf16"


def choose(wanted: str, device: str) -> str:
    """ "fp32" or "bf16"; a wish other than "auto" is granted."""
    if wanted != "auto":
        return wanted
    has_bf16 = torch.cuda.is_bf16_supported() if device == "cuda" else torch.cpu.get_capabilities().get(TILES, False)
    return "bf16" if has_bf16 else "fp32"
