"""Judges the header of a safetensors file, by its published format: nothing overlaps, nothing lies outside the file."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from pipelines.bundles.names import BundleRefused

LONGEST_HEADER = 100_000_000  # As the format's own library has it.
WIDTHS = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E5M2": 1, "F8_E4M3": 1, "I16": 2, "U16": 2, "F16": 2, "BF16": 2,
    "I32": 4, "U32": 4, "F32": 4, "F64": 8, "I64": 8, "U64": 8,
}  # fmt: skip


Shapes = dict[str, tuple[int, ...]]


def check_safetensors(path: Path) -> Shapes:
    """The tensors' names and shapes. Raises BundleRefused for a header that lies."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(LONGEST_HEADER, size - 8):
            raise BundleRefused(f"{path.name} is no safetensors file: its header does not fit into it.")
        header = _header(path.name, file.read(length))
    spans = sorted(_span(path.name, tensor, facts) for tensor, facts in header.items())
    at = 0
    for begin, end in spans:
        if begin != at:
            raise BundleRefused(f"{path.name} has tensors that overlap or leave a gap at byte {at}.")
        at = end
    if at != size - 8 - length:
        raise BundleRefused(f"{path.name} says {at} bytes of tensors and holds {size - 8 - length}. Copy it again.")
    return {tensor: tuple(facts["shape"]) for tensor, facts in header.items()}


def _header(name: str, raw: bytes) -> dict[str, Any]:
    try:
        header = json.loads(raw)
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict):
        raise BundleRefused(f"{name} is no safetensors file: its header is not JSON.")
    header.pop("__metadata__", None)
    return header


def _span(name: str, tensor: str, facts: Any) -> tuple[int, int]:
    """Where the tensor lies, once its dtype, its shape and its bytes agree."""
    try:
        width, shape, (begin, end) = WIDTHS[facts["dtype"]], facts["shape"], facts["data_offsets"]
        whole = all(type(number) is int and number >= 0 for number in (*shape, begin, end))
    except (KeyError, TypeError, ValueError):
        whole = False
    if not whole or end - begin != width * math.prod(shape):
        raise BundleRefused(f"{name}: the tensor {tensor[:80]!r} is not what its header says.")
    return begin, end
