"""Versions as Ollama reads them: a Modelfile each, and one script that loads those whose weights are kept."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from pipelines.artifacts import ArtifactMissing, store_of
from pipelines.heavy.push import release_of
from pipelines.hosts.naming import REGISTRY
from pipelines.models import ModelVersion
from pipelines.work.gguf_reader import GgufError

FILES = "../../../../files"
SCRIPT = """#!/bin/sh
# Loads the models of this archive into the Ollama on this machine: all of them, or sh load.sh production.
# Names are without {registry}/: they are yours now.
set -eu
cd "$(dirname "$0")"
wanted="${{1:-all}}"
load() {{ [ "$wanted" = all ] || [ "$wanted" = "$3" ] || return 0; echo "$1"; ollama create "$1" -f "$2"; }}
{lines}
"""


@dataclass(frozen=True)
class Loadable:
    """A version that can be served from the archive: `name` for the host, `place` of its Modelfile."""

    name: str
    place: str
    status: str
    modelfile: str


def loadable(version: ModelVersion, place: str) -> Loadable | None:
    """None where its weights are not kept: retention gave them up, or they only ever lay on a host."""
    store = store_of(version.client_id)
    if not store.has_all(version.files):
        return None
    try:
        text = modelfile(version)
    except (ArtifactMissing, GgufError):
        return None
    name = f"{version.client.slug}/{version.pipeline.slug}:{version.label}"
    return Loadable(name, f"{place}/Modelfile", version.status, text)


def modelfile(version: ModelVersion) -> str:
    """What a host was told of the version (https://docs.ollama.com/modelfile). Raises ArtifactDamaged."""
    release = release_of(version)
    lines = [f"FROM {FILES}/{version.gguf_digest}.gguf"]
    if version.lora_digest:
        lines.append(f"ADAPTER {FILES}/{version.lora_digest}.gguf")
    if release.go_template:
        lines.append(f'TEMPLATE """{release.go_template}"""')
    if release.system:
        lines.append(_system(release.system))
    lines += parameter_lines({"stop": list(release.stop)} | dict(release.parameters))
    return "\n".join(lines) + "\n"


def _system(text: str) -> str:
    """A Modelfile has no way to write three quotes inside a text."""
    return "# SYSTEM: holds three quotes, see version.yaml" if '"""' in text else f'SYSTEM """{text}"""'


def parameter_lines(parameters: dict[str, object]) -> Iterable[str]:
    for name, value in sorted(parameters.items()):
        for one in value if isinstance(value, list | tuple) else (value,):
            yield f"PARAMETER {name} {json.dumps(one) if isinstance(one, str) else one}"


def script(found: Iterable[Loadable]) -> str:
    lines = [f"load {one.name} {one.place} {one.status}" for one in found]
    return SCRIPT.format(registry=REGISTRY, lines="\n".join(lines) or "echo 'No weights are kept.'")
