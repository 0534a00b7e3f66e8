"""JSON answers: the share of expected fields that are right."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pipelines.metrics.case_mean import CaseMean
from pipelines.metrics.text import normalise_name

NOT_JSON = object()


def parse_json(text: str) -> Any:
    """The JSON value that `text` is (a code fence around it is forgiven), or NOT_JSON."""
    body = text.strip().removeprefix("```json").removeprefix("```").removesuffix("```")
    try:
        return json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return NOT_JSON


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def parse_object(text: str) -> dict[str, Any] | None:
    """The JSON object that `text` is (a code fence around it is forgiven), or None."""
    value = parse_json(text)
    return value if isinstance(value, dict) else None


def field_scores(expected: Mapping[str, Any], answer: str) -> dict[str, float]:
    """Per expected field 1.0 or 0.0: strings compare normalised, all else by JSON equality."""
    found = parse_object(answer) or {}
    return {name: float(name in found and _equal(value, found[name])) for name, value in expected["fields"].items()}


def _equal(expected: Any, given: Any) -> bool:
    if isinstance(expected, str) and isinstance(given, str):
        return normalise_name(expected) == normalise_name(given)
    # In Python True == 1, in JSON true is no number.
    return (type(expected) is type(given) and bool(expected == given)) or _same_number(expected, given)


def _same_number(expected: Any, given: Any) -> bool:
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in (expected, given))
    return numbers and bool(expected == given)


def _share(expected: Mapping[str, Any], answer: str) -> float:
    scores = field_scores(expected, answer)
    return sum(scores.values()) / len(scores) if scores else float(parse_object(answer) is not None)


json_fields = CaseMean(_share)
