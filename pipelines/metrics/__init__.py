"""Metrics: how one answer is scored, and how the scores of a set become one figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol, cast

from pipelines.metrics.formats import format_check
from pipelines.metrics.limits import CASE_S, SET_S, TookTooLong, at_most

__all__ = [
    "METRICS",
    "CaseError",
    "Metric",
    "Row",
    "corpus",
    "format_check",
    "higher_is_better",
    "is_corpus",
    "known",
    "load",
    "register",
    "score_case",
    "try_case",
]

Expected = Mapping[str, Any]

METRICS: dict[str, str] = {
    "accuracy": "pipelines.metrics.labels:label",
    "label": "pipelines.metrics.labels:label",
    "one_of": "pipelines.metrics.labels:one_of",
    "f1_macro": "pipelines.metrics.labels:f1_macro",
    "f1_micro": "pipelines.metrics.labels:f1_micro",
    "f1_weighted": "pipelines.metrics.labels:f1_weighted",
    "exact_match": "pipelines.metrics.text:exact_match",
    "normalised_match": "pipelines.metrics.text:normalised_match",
    "contains": "pipelines.metrics.text:contains",
    "not_contains": "pipelines.metrics.text:not_contains",
    "regex": "pipelines.metrics.patterns:regex",
    "numeric": "pipelines.metrics.text:numeric",
    "json_schema": "pipelines.metrics.json_schema:json_schema",
    "json_fields": "pipelines.metrics.json_fields:json_fields",
    "rouge1": "pipelines.metrics.rouge:rouge1",
    "rouge2": "pipelines.metrics.rouge:rouge2",
    "rougeL": "pipelines.metrics.rouge:rouge_l",
    "bleu": "pipelines.metrics.overlap:bleu",
    "chrf": "pipelines.metrics.overlap:chrf",
    "judge": "pipelines.metrics.judged:judged",
    "refusal_expected": "pipelines.metrics.refusal:refusal_expected",
    "refusal_not_expected": "pipelines.metrics.refusal:refusal_not_expected",
}

# The installation's own, from its settings file; nothing else ever adds to them.
_registered: dict[str, str] = {}

UNREADABLE = (TypeError, ValueError, AttributeError, OverflowError, RecursionError)


class CaseError(Exception):
    """A case that cannot be scored: an unknown check, or an `expected` that the check cannot read."""


@dataclass(frozen=True)
class Row:
    """One judged case: what was expected and what the model answered."""

    expected: Expected
    answer: str


class Metric(Protocol):
    """`score` gives one case in [0, 1]; `corpus` gives the set's figure in [0, 1], NaN for no rows.

    `is_corpus`: the figure is more than the mean of the cases' scores.
    """

    higher_is_better: bool
    is_corpus: bool

    def score(self, expected: Expected, answer: str) -> float: ...

    def corpus(self, rows: Sequence[Row]) -> float: ...


def register(own: Mapping[str, str]) -> None:
    """The installation's own metrics, {name: "module:object"}. Raises ValueError where a name is taken or malformed."""
    for name, target in own.items():
        if name in METRICS:
            raise ValueError(f"The metric {name!r} is built in: give your own another name.")
        if not all(target.partition(":")):
            raise ValueError(f"The metric {name!r} must be named as module:object, not {target!r}.")
    _registered.clear()
    _registered.update(own)


def known() -> dict[str, str]:
    """Every metric by name: the built-in ones and the installation's own."""
    return METRICS | _registered


def load(name: str) -> Metric:
    """The metric called `name`; an unknown name is a CaseError that lists the known ones."""
    metrics = known()
    if name not in metrics:
        raise CaseError(f"There is no metric {name!r}. Known metrics: {', '.join(sorted(metrics))}.")
    module, _, attribute = metrics[name].partition(":")
    return cast(Metric, getattr(import_module(module), attribute))


def score_case(check: str, expected: Expected, answer: str) -> float:
    """Score of one answer under `check`, in [0, 1]. A CaseError says why it cannot be had."""
    metric = load(check)
    try:
        with at_most(CASE_S):
            return metric.score(expected, answer)
    except KeyError as missing:
        raise CaseError(f"The check {check!r} needs {missing} in the case's `expected`.") from missing
    except TookTooLong as problem:
        raise CaseError(f"The check {check!r} took longer than {CASE_S:g} s.") from problem
    except UNREADABLE as problem:
        raise CaseError(f"The check {check!r} cannot read the case's `expected`: {problem}.") from problem


def try_case(check: str, expected: Expected) -> None:
    """Raises the CaseError that an evaluation would meet; to be asked when a case is written."""
    score_case(check, expected, "")


def corpus(metric: str, rows: Sequence[Row]) -> float:
    """The figure of `metric` over a set; NaN for an empty set (no data is never a value)."""
    try:
        with at_most(SET_S):
            return load(metric).corpus(rows)
    except KeyError as missing:
        raise CaseError(f"The metric {metric!r} needs {missing} in each case's `expected`.") from missing
    except TookTooLong as problem:
        raise CaseError(f"The metric {metric!r} took longer than {SET_S:g} s over {len(rows)} cases.") from problem


def higher_is_better(metric: str) -> bool:
    """Direction of a metric; gates take it from here and never assume one."""
    return load(metric).higher_is_better


def is_corpus(metric: str) -> bool:
    """Whether the set's figure is more than the mean over its cases: then two sets compare by swapping answers."""
    return getattr(load(metric), "is_corpus", False)
