"""Which of the three generations a host's version belongs to, and which versions are too old."""

import re

from pipelines.hosts.errors import HostRefused
from pipelines.hosts.facts import Generation

MINIMUM = (0, 21, 0)  # older ones read past the end of a crafted file (CVE-2026-7482) or prune fresh uploads
FIRST_B, FIRST_C = (0, 30, 0), (0, 34, 1)
SOURCE_BUILD = (0, 0, 0)

# Served by A's own engine, which has no adapters; as GGUF files name them, without hyphens.
OWN_ENGINE_OF_A = ("qwen3", "gemma3", "gemma4", "gptoss", "mistral3", "lfm2")


def parse_version(text: str) -> tuple[int, int, int]:
    """The three numbers of a version; a source build or an unreadable text is (0, 0, 0)."""
    match = re.match(r"v?(\d+)\.(\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2]), int(match[3])) if match else SOURCE_BUILD


def generation_of(text: str) -> Generation | None:
    """The generation, or None for a source build that must be probed. Raises HostRefused below 0.21."""
    version = parse_version(text)
    if version == SOURCE_BUILD:
        return None
    if version < MINIMUM:
        raise HostRefused(f"The host runs version {text}; update it to 0.21 or later before anything is sent to it")
    if version >= FIRST_C:
        return Generation.C
    return Generation.B if version >= FIRST_B else Generation.A


def why_no_adapters(version: str, generation: Generation, architecture: str) -> str:
    """Why a host of this version serves no base with a LoRA beside it; empty where it does.

    `architecture` as a GGUF file or a model's configuration names it; an empty one is not judged.
    """
    if generation is Generation.C:
        return f"The host runs version {version}, which takes no LoRA adapters any more (they ended with 0.34.1)"
    if generation is Generation.A and runs_on_own_engine(architecture):
        which = f"which cannot load LoRA adapters over {architecture} (0.30 to 0.34.0 can)"
        return f"The host runs version {version}, {which}"
    return ""


def runs_on_own_engine(architecture: str) -> bool:
    """Whether generation A serves it by its own engine and not by llama.cpp's."""
    return architecture.lower().replace("-", "").replace("_", "").startswith(OWN_ENGINE_OF_A)
