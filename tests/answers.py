"""Stored answers and times of a run, as the evaluator leaves them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.actions import put_set
from pipelines.artifacts import store_of
from pipelines.models import Run, Scorecard
from tenants.models import Pipeline
from tests import factories

Case = tuple[str, str, str, str | None]  # (question, right label, candidate's answer, production's answer)


def measured(run: Run, sets: Mapping[str, Sequence[Case]], ms: tuple[float, float] = (20.0, 18.0)) -> Scorecard:
    """The run's scorecard with these answers; keys are c0, c1, ... in each set. The sets are put as a new version."""
    store = store_of(run.client_id)
    with factories.inside(run):
        versions = {kind: put(run.pipeline, kind, cases) for kind, cases in sets.items()}
        card = Scorecard.objects.get(run=run)
        rows = [row for kind, cases in sets.items() for row in _rows(kind, cases)]
        card.answers_digest = store.put_lines(json.dumps(row).encode() for row in rows)
        pairs = [{"case": f"c{n}", "candidate_ms": ms[0] + n % 9, "production_ms": ms[1] + n % 7} for n in range(300)]
        facts: dict[str, Any] = {kind: {"kind": kind, "n": len(cases)} for kind, cases in sets.items()}
        times = store.put_lines(json.dumps(pair).encode() for pair in pairs)
        card.cases = facts | {"set_versions": versions, "times_digest": times}
        card.save()
    return card


def put(pipeline: Pipeline, kind: str, cases: Sequence[Case]) -> int:
    """The set's version."""
    body = [
        {"id": f"c{n}", "messages": [{"role": "user", "content": asked}], "check": "accuracy", "expected": {"label": r}}
        for n, (asked, r, _c, _p) in enumerate(cases)
    ]
    return int(put_set(pipeline, kind, body, actor="tests", note="", now=factories.NOW).version)


def _rows(kind: str, cases: Sequence[Case]) -> list[dict[str, Any]]:
    found = []
    for n, (_asked, right, candidate, production) in enumerate(cases):
        for arm, text in (("candidate", candidate), ("production", production)):
            if text is not None:
                score = float(text == right)
                facts = {"set": kind, "id": f"c{n}", "arm": arm, "check": "accuracy", "score": score}
                said = {"scores": {"accuracy": score}, "answer": text, "expected": {"label": right}}
                found.append(facts | said | {"finish": "stop", "ms": 12.5, "flaky": False})
    return found
