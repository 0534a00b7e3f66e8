"""JSON answers against a JSON Schema. Patterns run in linear time; nothing is ever fetched."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import jsonschema_rs

from pipelines.metrics import CaseError
from pipelines.metrics.case_mean import CaseMean
from pipelines.metrics.json_fields import NOT_JSON, parse_json

LONGEST_SCHEMA = 100_000
REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")


def _refuse(uri: str) -> Any:
    raise ValueError(f"{uri} is not fetched")


@lru_cache(maxsize=128)
def _validator(schema: str) -> jsonschema_rs.Validator:
    if len(schema) > LONGEST_SCHEMA:
        raise CaseError(f"A schema of {len(schema)} characters is too long: at most {LONGEST_SCHEMA}.")
    value = json.loads(schema)
    for target in _references(value):
        if not target.startswith("#"):
            raise CaseError(f"The schema refers to {target!r}. Only references inside the schema (#/...) are followed.")
    try:
        return jsonschema_rs.validator_for(value, retriever=_refuse, pattern_options=jsonschema_rs.RegexOptions())
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as problem:
        raise CaseError(f"This is no JSON Schema that can be used: {str(problem).splitlines()[0]}") from problem


def _references(value: Any) -> Iterator[str]:
    """Every target of a reference anywhere in the schema."""
    open_ends = [value]
    while open_ends:
        node = open_ends.pop()
        if isinstance(node, dict):
            yield from (str(node[key]) for key in REFERENCES if isinstance(node.get(key), str))
            open_ends += node.values()
        elif isinstance(node, list):
            open_ends += node


def _fits(expected: Mapping[str, Any], answer: str) -> float:
    validator = _validator(json.dumps(expected["schema"], sort_keys=True))
    value = parse_json(answer)
    return float(value is not NOT_JSON and validator.is_valid(value))


json_schema = CaseMean(_fits)
