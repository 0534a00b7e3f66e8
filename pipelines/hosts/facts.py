"""What hosts tell: plain values, the same for every kind of host."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Generation(StrEnum):
    """Three incompatible behaviours: A up to 0.29, B 0.30 to 0.34.0, C from 0.34.1."""

    A = "A"
    B = "B"
    C = "C"


@dataclass(frozen=True, slots=True)
class Tag:
    """A name on the host; `digest` is the bare hex digest of its manifest, `size_bytes` the sum of its layers."""

    name: str
    digest: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model in memory. `name` is the one it was first loaded under; `size_bytes` is weights and context, of which

    `vram_bytes` lie on the graphics card. `expires_at` is the host's own text; a year far away is for ever.
    """

    name: str
    digest: str
    size_bytes: int
    vram_bytes: int
    expires_at: str = ""


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What a probe found; `resident` are the manifest digests (bare hex) of loaded models."""

    version: str
    generation: Generation
    resident: tuple[str, ...]
    latency_ms: float


@dataclass(frozen=True, slots=True)
class Created:
    manifest_digest: str


@dataclass(frozen=True, slots=True)
class Shown:
    """What a host will really serve under a name; digests are `sha256:<hex>`, `parameters` may repeat (stop)."""

    blob_digest: str
    adapter_digests: tuple[str, ...]
    template: str
    system: str
    parameters: tuple[tuple[str, str], ...]
    model_info: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer and what it took: `seconds` on our clock, `load_seconds` on the host's (0 when it was loaded)."""

    text: str
    seconds: float
    load_seconds: float
    done_reason: str = "stop"
