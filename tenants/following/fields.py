"""Settings field by field: which can be shared between clients, and how they are set."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

# A client's own: where its models run, who hears of them, what its answers look like, what it allowed to be kept.
OWN = ("hosts", "recipients", "notices", "criteria.output", "criteria.judge", "bodies")
# Parts that only make sense whole.
WHOLE = ("triggers.schedule",)


def is_own(path: str) -> bool:
    return any(path == own or path.startswith(f"{own}.") for own in OWN)


def shared(body: Mapping[str, Any]) -> dict[str, Any]:
    """{path: value} of the fields that another client's pipeline can have too. Lists are one value."""
    return {path: value for path, value in _leaves(body, "") if not is_own(path)}


def _leaves(value: Any, path: str) -> list[tuple[str, Any]]:
    if not isinstance(value, dict) or path in WHOLE or not value:
        return [(path, value)]
    return [leaf for key, item in value.items() for leaf in _leaves(item, f"{path}.{key}" if path else str(key))]


def patched(body: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of the body with these fields set."""
    made = copy.deepcopy(dict(body))
    for path, value in changes.items():
        *parents, last = path.split(".")
        place = made
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = value
    return made


def without_own(body: Mapping[str, Any], own_of: Mapping[str, Any]) -> dict[str, Any]:
    """The body with a client's own parts as they stand in another one; parts that stand nowhere are left out."""
    made = copy.deepcopy(dict(body))
    for path in OWN:
        *parents, last = path.split(".")
        place, source = made, dict(own_of)
        for parent in parents:
            place, source = place.setdefault(parent, {}), source.get(parent) or {}
        place.pop(last, None)
        if last in source:
            place[last] = source[last]
    return made
