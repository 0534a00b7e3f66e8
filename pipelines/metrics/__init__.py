"""Metrics: how one answer is scored, and how the scores of a set become one figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol, cast

from pipelines.metrics.formats import format_check

__all__ = ["METRICS", "CaseError", "Metric", "Row", "corpus", "format_check", "higher_is_better", "load", "score_case"]

Expected = Mapping[str, Any]

METRICS: dict[str, str] = {
    "accuracy": "pipelines.metrics.labels:label",
    "label": "pipelines.metrics.labels:label",
    "f1_macro": "pipelines.metrics.labels:f1_macro",
    "exact_match": "pipelines.metrics.text:exact_match",
    "normalised_match": "pipelines.metrics.text:normalised_match",
    "contains": "pipelines.metrics.text:contains",
    "not_contains": "pipelines.metrics.text:not_contains",
    "regex": "pipelines.metrics.text:regex",
    "json_fields": "pipelines.metrics.json_fields:json_fields",
    "rouge1": "pipelines.metrics.rouge:rouge1",
    "rouge2": "pipelines.metrics.rouge:rouge2",
    "rougeL": "pipelines.metrics.rouge:rouge_l",
    "refusal_expected": "pipelines.metrics.refusal:refusal_expected",
    "refusal_not_expected": "pipelines.metrics.refusal:refusal_not_expected",
}


class CaseError(ValueError):
    """A case that cannot be scored: an unknown check, or `expected` without what the check needs."""


@dataclass(frozen=True)
class Row:
    """One judged case: what was expected and what the model answered."""

    expected: Expected
    answer: str


class Metric(Protocol):
    """`score` gives one case in [0, 1]; `corpus` gives the set's figure in [0, 1], NaN for no rows."""

    higher_is_better: bool

    def score(self, expected: Expected, answer: str) -> float: ...

    def corpus(self, rows: Sequence[Row]) -> float: ...


def load(name: str) -> Metric:
    """The metric called `name`; an unknown name is a CaseError that lists the known ones."""
    if name not in METRICS:
        raise CaseError(f"There is no metric {name!r}. Known metrics: {', '.join(sorted(METRICS))}.")
    module, _, attribute = METRICS[name].partition(":")
    return cast(Metric, getattr(import_module(module), attribute))


def score_case(check: str, expected: Expected, answer: str) -> float:
    """Score of one answer under `check`, in [0, 1]. Raises CaseError where `expected` lacks a needed key."""
    metric = load(check)
    try:
        return metric.score(expected, answer)
    except KeyError as missing:
        raise CaseError(f"The check {check!r} needs {missing} in the case's `expected`.") from missing


def corpus(metric: str, rows: Sequence[Row]) -> float:
    """The figure of `metric` over a set; NaN for an empty set (no data is never a value)."""
    try:
        return load(metric).corpus(rows)
    except KeyError as missing:
        raise CaseError(f"The metric {metric!r} needs {missing} in each case's `expected`.") from missing


def higher_is_better(metric: str) -> bool:
    """Direction of a metric; gates take it from here and never assume one."""
    return load(metric).higher_is_better
