"""Format checks on live answers, cheap enough for the gateway: has the text the shape that was promised?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def format_check(spec: Mapping[str, Any], text: str) -> bool:
    """True where `text` has the promised shape.

    spec: {"kind": "label", "labels": [...]} | {"kind": "json", "required": [...]} | {"kind": "any"} (not empty).
    An unknown kind is a ValueError, so that a misspelt setting is no silent pass.
    """
    match spec.get("kind", "any"):
        case "label":
            return _is_label(spec["labels"], text)
        case "json":
            return _has_fields(spec.get("required", ()), text)
        case "any":
            return bool(text.strip())
        case other:
            raise ValueError(f"There is no format check {other!r}: use label, json or any.")


def _is_label(labels: Iterable[str], text: str) -> bool:
    from pipelines.metrics.text import normalise_name

    return normalise_name(text) in {normalise_name(label) for label in labels}


def _has_fields(required: Iterable[str], text: str) -> bool:
    from pipelines.metrics.json_fields import parse_object

    found = parse_object(text)
    return found is not None and all(name in found for name in required)
