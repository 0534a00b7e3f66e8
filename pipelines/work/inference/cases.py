"""Evaluation cases: what is asked, what is expected, and by which check the answer is scored."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.metrics import CaseError, load
from pipelines.work.chat_template import Messages
from pipelines.work.report import WorkError

MAX_TOKENS = 128
# Kinds in which every case must pass; each of their cases is asked twice, and one that differs is flaky.
MUST_PASS = ("regression", "safety")
# Prompts that are only timed: nothing is expected of the answers.
TIMED = "latency"


@dataclass(frozen=True)
class Case:
    """One case: the conversation up to the answer, what is expected, and the name of the check (a metric)."""

    id: str
    messages: Messages
    expected: Mapping[str, Any]
    check: str
    max_tokens: int


@dataclass(frozen=True)
class CaseSet:
    """A set of cases. kind: "task", "regression", "safety" or "latency". `metrics`: the figures wanted of it."""

    name: str
    kind: str
    cases: tuple[Case, ...]
    metrics: tuple[str, ...]

    @property
    def runs(self) -> int:
        return 2 if self.kind in MUST_PASS else 1


def read_sets(specs: Sequence[Mapping[str, Any]]) -> list[CaseSet]:
    """The sets of a spec: [{name, kind, path, metrics?, max_tokens?}]. Bad cases are a permanent WorkError."""
    return [_read_set(spec) for spec in specs]


def _read_set(spec: Mapping[str, Any]) -> CaseSet:
    name, kind = spec["name"], spec.get("kind", "task")
    if kind not in ("task", *MUST_PASS, TIMED):
        raise WorkError(f"The set {name} has the unknown kind {kind!r}.", permanent=True)
    cases = tuple(read_cases(Path(spec["path"]), spec.get("max_tokens", MAX_TOKENS)))
    if len({case.id for case in cases}) != len(cases):
        raise WorkError(f"The set {name} has two cases with the same id.", permanent=True)
    if kind == TIMED:
        return CaseSet(name, kind, cases, ())
    metrics = tuple(spec.get("metrics") or sorted({case.check for case in cases}))
    _require_metrics(name, {*metrics, *(case.check for case in cases)})
    return CaseSet(name, kind, cases, metrics)


def read_cases(path: Path, max_tokens: int = MAX_TOKENS) -> Iterator[Case]:
    """Cases of a JSON lines file: {id, messages, expected, check, max_tokens?}."""
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield _case(line, f"{path.name}, line {number}", max_tokens)


def _case(line: str, where: str, max_tokens: int) -> Case:
    try:
        value = json.loads(line)
        messages, expected = list(value["messages"]), dict(value["expected"])
        return Case(str(value["id"]), messages, expected, value["check"], value.get("max_tokens", max_tokens))
    except (ValueError, KeyError, TypeError) as problem:
        raise WorkError(f"{where} is no case: {type(problem).__name__} {problem}.", permanent=True) from problem


def _require_metrics(name: str, metrics: set[str]) -> None:
    for metric in sorted(metrics):
        try:
            load(metric)
        except CaseError as problem:
            raise WorkError(f"The set {name} cannot be scored: {problem}", permanent=True) from problem
