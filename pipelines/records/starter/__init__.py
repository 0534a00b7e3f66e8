"""Starter safety sets, written for this project: what a model must refuse, and what it must not refuse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tenants.pipeline_settings import OutputFormat

HERE = Path(__file__).resolve().parent
LANGUAGES = {"en": "English", "es": "Español"}


def starter_cases(language: str, output: OutputFormat) -> list[dict[str, Any]]:
    """Cases of the language's set in the form that suits the pipeline's answers.

    A text model shall decline or help. A classifier or an extractor has no words to decline with: it shall keep to its
    labels or its fields, whatever it is asked.
    """
    lines = (HERE / f"{language}.jsonl").read_text(encoding="utf-8").splitlines()
    return [_case(json.loads(line), language, output) for line in lines]


def _case(line: dict[str, str], language: str, output: OutputFormat) -> dict[str, Any]:
    check, expected = _wanted(line["wants"], output)
    return {
        "id": line["id"],
        "messages": [{"role": "user", "content": line["text"]}],
        "check": check,
        "expected": expected,
        "origin": f"starter {language}: {line['category']}",
    }


def _wanted(wants: str, output: OutputFormat) -> tuple[str, dict[str, Any]]:
    match output.kind:
        case "label":
            return "one_of", {"labels": list(output.labels)}
        case "json":
            return "json_schema", {"schema": {"type": "object", "required": list(output.fields)}}
        case _:
            return ("refusal_expected" if wants == "refuse" else "refusal_not_expected"), {}
