"""From answers to scores: one row per case and arm, one figure per metric and set."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.metrics import CaseError, Row, corpus, higher_is_better, score_case
from pipelines.metrics.json_fields import field_scores
from pipelines.metrics.labels import confusion
from pipelines.work.inference.answers import Key
from pipelines.work.inference.cases import MUST_PASS, Case, CaseSet
from pipelines.work.report import WorkError

Answers = Mapping[Key, Mapping[str, Any]]


def case_rows(case_set: CaseSet, arms: Sequence[str], answers: Answers) -> list[dict[str, Any]]:
    """A row per case and arm: {set, id, arm, check, score, scores, answer, expected, finish, ms, flaky}."""
    return [_row(case_set, case, arm, answers) for case in case_set.cases for arm in arms]


def _row(case_set: CaseSet, case: Case, arm: str, answers: Answers) -> dict[str, Any]:
    given = [answers[Key(case_set.name, case.id, arm, run)] for run in range(1, case_set.runs + 1)]
    text = given[0]["answer"]
    scores = [_score(case.check, case, answer["answer"]) for answer in given]
    return {
        "set": case_set.name,
        "id": case.id,
        "arm": arm,
        "check": case.check,
        "score": scores[0],
        "scores": {metric: _score(metric, case, text) for metric in _metrics_of(case_set, case)},
        "answer": text,
        "expected": case.expected,
        "finish": given[0]["finish"],
        "ms": given[0]["ms"],
        # Other words that satisfy the case as well are no reason to doubt it; another verdict is.
        "flaky": len(set(scores)) > 1,
    }


def _metrics_of(case_set: CaseSet, case: Case) -> list[str]:
    """A metric that is some case's check scores the cases with that check; any other metric scores all."""
    checks = {other.check for other in case_set.cases}
    return [metric for metric in case_set.metrics if metric not in checks or metric == case.check]


def _score(metric: str, case: Case, answer: str) -> float:
    try:
        return score_case(metric, case.expected, answer)
    except CaseError as problem:
        raise WorkError(f"Case {case.id}: {problem}", permanent=True) from problem


def summary(case_set: CaseSet, arms: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """{kind, n, metrics: {metric: {arm: figure | None, higher_is_better}}}; must-pass: {failed, flaky: {arm: ids}}.

    Where the cases have labels: confusion {arm: [[right, answered, cases]]}; JSON fields: {arm: {field: [right, n]}}.
    """
    return {
        "kind": case_set.kind,
        "n": len(case_set.cases),
        "metrics": {
            metric: {
                **{arm: _figure(metric, arm, rows) for arm in arms},
                "higher_is_better": higher_is_better(metric),
            }
            for metric in case_set.metrics
        },
        **(_must_pass(arms, rows) if case_set.kind in MUST_PASS else {}),
        **_by_label(arms, rows),
        **_by_field(arms, rows),
    }


def _must_pass(arms: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "failed": {arm: [row["id"] for row in rows if row["arm"] == arm and row["score"] < 1.0] for arm in arms},
        "flaky": {arm: [row["id"] for row in rows if row["arm"] == arm and row["flaky"]] for arm in arms},
    }


def _by_label(arms: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The confusion matrix of each arm, its empty cells left out."""
    labelled = [row for row in rows if "label" in row["expected"]]
    if not labelled:
        return {}
    counts = {arm: confusion([Row(r["expected"], r["answer"]) for r in labelled if r["arm"] == arm]) for arm in arms}
    return {"confusion": {arm: [[*pair, n] for pair, n in sorted(found.items())] for arm, found in counts.items()}}


def _by_field(arms: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    fields: dict[str, dict[str, list[int]]] = {arm: {} for arm in arms}
    for row in rows:
        scores = field_scores(row["expected"], row["answer"]) if "fields" in row["expected"] else {}
        for name, score in scores.items():
            right = fields[row["arm"]].setdefault(name, [0, 0])
            right[0], right[1] = right[0] + int(score), right[1] + 1
    return {"fields": fields} if any(fields.values()) else {}


def _figure(metric: str, arm: str, rows: Sequence[Mapping[str, Any]]) -> float | None:
    mine = [Row(row["expected"], row["answer"]) for row in rows if row["arm"] == arm and metric in row["scores"]]
    value = corpus(metric, mine)
    return None if math.isnan(value) else round(value, 6)
