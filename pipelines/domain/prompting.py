"""Which system prompt a version is given: the one baked into it, or the one that a request brings."""

from collections.abc import Mapping, Sequence
from typing import Any


def with_system(messages: Sequence[Mapping[str, Any]], system: str, replaces: bool) -> list[Mapping[str, Any]]:
    """The conversation under a version's own system prompt.

    A host gives a baked prompt to requests that bring none; `replaces`: the gateway gives it to the others as well, in
    the place of theirs.
    """
    brings_one = bool(messages) and messages[0].get("role") == "system"
    if not system or (brings_one and not replaces):
        return list(messages)
    return [{"role": "system", "content": system}, *messages[1 if brings_one else 0 :]]
