"""The lists that programs ask for first: the client's own models, and a host version."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from agency.gateway.routes.snapshot import ClientRoutes, RouteEntry, Target
from agency.gateway.wire import Path

# A host's own word for "built from source, version unknown".
UNKNOWN_VERSION = "0.0.0"


def listing(path: Path, client: ClientRoutes) -> dict[str, Any]:
    """The document of one of the list paths, for one client."""
    entries = sorted(client.pipelines.values(), key=lambda entry: entry.slug)
    match path:
        case Path.TAGS:
            return {"models": [_tag(entry, target) for entry, target in _known(entries)]}
        case Path.V1_MODELS:
            return {"object": "list", "data": [_model(entry, target, client.slug) for entry, target in _known(entries)]}
        case Path.VERSION:
            return {"version": lowest_version(client)}
    raise ValueError(f"{path} is no list")


def _known(entries: Iterable[RouteEntry]) -> Iterator[tuple[RouteEntry, Target]]:
    """With its version in production, where anything is known of that."""
    for entry in entries:
        if (target := entry.target(entry.production)) is not None:
            yield entry, target


def lowest_version(client: ClientRoutes) -> str:
    """Of the hosts that hold anything of this client: what all of them can do."""
    targets = (target for entry in client.pipelines.values() for target in entry.targets.values())
    known = {place.host_version for target in targets for place in target.places} - {""}
    return min(known, key=_parts, default=UNKNOWN_VERSION)


def _parts(version: str) -> tuple[int, ...]:
    release = version.partition("-")[0]
    return tuple(int(part) if part.isdigit() else 0 for part in release.split("."))


def _tag(entry: RouteEntry, target: Target) -> dict[str, Any]:
    details = {
        "parent_model": "",
        "format": "gguf",
        "family": "",
        "families": None,
        "parameter_size": "",
        "quantization_level": "",
    }
    name = f"{entry.slug}:latest"
    facts = {"modified_at": target.created_at, "size": target.size_bytes, "digest": target.digest}
    return {"name": name, "model": name, **facts, "details": details}


def _model(entry: RouteEntry, target: Target, owner: str) -> dict[str, Any]:
    created = int(datetime.fromisoformat(target.created_at).timestamp())
    return {"id": entry.slug, "object": "model", "created": created, "owned_by": owner}
