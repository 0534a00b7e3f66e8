"""Candidate beside production, case by case: what was lost first, each case with both answers."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pipelines.artifacts import ArtifactDamaged, ArtifactMissing, store_of
from pipelines.models import Scorecard
from pipelines.reports.judging.difference import Piece, word_difference
from tenants.models import EvalCase

CHANGES = ("lost", "flaky", "wrong", "won", "reworded", "same")
"""In the order in which a person wants to see them. Without production a case is wrong or same."""


@dataclass(frozen=True)
class Answered:
    """One model's answer to one case."""

    text: str
    score: float
    scores: Mapping[str, float]
    ms: float | None
    finish: str
    is_flaky: bool


@dataclass(frozen=True)
class CaseLine:
    """One case with both answers; `asked` is the conversation up to the answer, where the case still stands."""

    set: str
    key: str
    check: str
    expected: Mapping[str, Any]
    candidate: Answered
    production: Answered | None
    asked: tuple[Mapping[str, str], ...] = ()

    @property
    def change(self) -> str:
        if self.candidate.is_flaky:
            return "flaky"
        if self.production is not None and self.candidate.score != self.production.score:
            return "lost" if self.candidate.score < self.production.score else "won"
        if self.candidate.score < 1:
            return "wrong"
        return "reworded" if self.production and self.production.text != self.candidate.text else "same"

    @property
    def loss(self) -> float:
        return self.production.score - self.candidate.score if self.production else 1 - self.candidate.score

    @property
    def label(self) -> str:
        return str(self.expected.get("label", ""))

    @property
    def wanted(self) -> str:
        """What was expected, in a few words."""
        for name in ("label", "text", "pattern"):
            if name in self.expected:
                return str(self.expected[name])
        return json.dumps(self.expected, ensure_ascii=False) if self.expected else ""

    @property
    def question(self) -> str:
        """The last thing that the user said."""
        return next((str(m.get("content", "")) for m in reversed(self.asked) if m.get("role") == "user"), "")

    @property
    def difference(self) -> tuple[Piece, ...]:
        """Production's answer turned into the candidate's."""
        return word_difference(self.production.text, self.candidate.text) if self.production else ()


@dataclass(frozen=True)
class Wanted:
    """What a comparison is narrowed to; empty means everything."""

    set: str = ""
    change: str = ""
    label: str = ""
    q: str = ""


@dataclass(frozen=True)
class Comparison:
    """`lines` are narrowed, `counts` and choices are of the chosen set. `missing`: why there are no answers."""

    lines: tuple[CaseLine, ...] = ()
    counts: tuple[tuple[str, int], ...] = ()
    sets: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    missing: str = ""
    set_versions: Mapping[str, int] = field(default_factory=dict)


def comparison(card: Scorecard, wanted: Wanted) -> Comparison:
    """Reads the stored answers; a hundred thousand take a second or two."""
    try:
        rows = list(_rows(card))
    except (ArtifactMissing, ArtifactDamaged) as problem:
        return Comparison(missing=str(problem))
    lines = list(_paired(rows))
    if wanted.q:
        lines = with_questions(card, lines)
    sets = tuple(dict.fromkeys(line.set for line in lines))
    lines = [line for line in lines if not wanted.set or line.set == wanted.set]
    counts = Counter(line.change for line in lines)
    labels = tuple(sorted({line.label for line in lines} - {""}))
    shown = sorted(filter(lambda line: _matches(line, wanted), lines), key=_order)
    counted = tuple((change, counts[change]) for change in CHANGES if counts[change])
    return Comparison(tuple(shown), counted, sets, labels, "", card.cases.get("set_versions") or {})


def case_of(card: Scorecard, kind: str, key: str) -> CaseLine | None:
    """One case with its question, or None; raises what the store raises where the answers are gone."""
    rows = [row for row in _rows(card) if row["set"] == kind and row["id"] == key]
    return next(iter(with_questions(card, list(_paired(rows)))), None)


def with_questions(card: Scorecard, lines: list[CaseLine]) -> list[CaseLine]:
    """The lines with what was asked, out of the version of each set that was measured."""
    versions = card.cases.get("set_versions") or {}
    asked: dict[tuple[str, str], tuple[Mapping[str, str], ...]] = {}
    for kind in {line.set for line in lines}:
        keys = [line.key for line in lines if line.set == kind]
        rows = EvalCase.objects.filter(
            eval_set__pipeline_id=card.version.pipeline_id, eval_set__kind=kind, eval_set__version=versions.get(kind, 0)
        )
        chosen = rows.filter(key__in=keys) if len(keys) <= 400 else rows
        asked |= {(kind, key): tuple(messages) for key, messages in chosen.values_list("key", "messages")}
    return [replace(line, asked=asked.get((line.set, line.key), ())) for line in lines]


def _rows(card: Scorecard) -> Iterator[dict[str, Any]]:
    with store_of(card.client_id).verified(card.answers_digest).open(encoding="utf-8") as file:
        yield from map(json.loads, file)


def _paired(rows: Iterable[dict[str, Any]]) -> Iterator[CaseLine]:
    arms: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
    for row in rows:
        arms.setdefault((row["set"], row["id"]), {})[row["arm"]] = row
    for (kind, key), found in arms.items():
        mine, theirs = found.get("candidate"), found.get("production")
        if mine is not None:
            facts = (kind, key, str(mine.get("check", "")), mine.get("expected") or {})
            yield CaseLine(*facts, _answered(mine), _answered(theirs) if theirs else None)


def _answered(row: dict[str, Any]) -> Answered:
    said = (str(row.get("answer", "")), float(row["score"]), row.get("scores") or {})
    return Answered(*said, row.get("ms"), str(row.get("finish", "")), bool(row.get("flaky")))


def _matches(line: CaseLine, wanted: Wanted) -> bool:
    if (wanted.change and line.change != wanted.change) or (wanted.label and line.label != wanted.label):
        return False
    if not wanted.q:
        return True
    said = [line.key, line.candidate.text, line.production.text if line.production else "", line.wanted]
    return any(wanted.q.casefold() in text.casefold() for text in [*said, *(str(m.get("content")) for m in line.asked)])


def _order(line: CaseLine) -> tuple[int, float, str, str]:
    return CHANGES.index(line.change), -line.loss, line.set, line.key
