"""How each label and each JSON field fared, of candidate and production side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.metrics.labels import OTHER, Confusion, LabelScore, per_label
from pipelines.models import Scorecard

CONFUSIONS_SHOWN = 12
MATRIX_LABELS = 16
"""A larger matrix is unreadable on a screen; the commonest confusions tell more."""


@dataclass(frozen=True)
class LabelLine:
    label: str
    candidate: LabelScore | None
    production: LabelScore | None


@dataclass(frozen=True)
class MatrixLine:
    """One right label: how often each label was answered; `other` is an answer that is none of them."""

    label: str
    cells: tuple[MatrixCell, ...]
    other: int


@dataclass(frozen=True)
class MatrixCell:
    answered: str
    cases: int
    is_right: bool


@dataclass(frozen=True)
class FieldLine:
    """Share of the cases in which a JSON field was right; None where that arm has no answer."""

    name: str
    candidate: float | None
    production: float | None


@dataclass(frozen=True)
class Detail:
    """`confusions`: (right label, answered label or "", cases) of the candidate, the commonest first."""

    labels: tuple[LabelLine, ...]
    matrix: tuple[MatrixLine, ...]
    confusions: tuple[tuple[str, str, int], ...]
    fields: tuple[FieldLine, ...]


def detail_of(card: Scorecard) -> Detail | None:
    """None for a set whose answers are neither labels nor JSON."""
    heldout = card.cases.get("heldout")
    if not isinstance(heldout, dict) or not (heldout.get("confusion") or heldout.get("fields")):
        return None
    counts = {arm: _counts(rows) for arm, rows in (heldout.get("confusion") or {}).items()}
    fields = heldout.get("fields") or {}
    mine = counts.get("candidate", {})
    return Detail(_lines(counts), _matrix(mine), _confusions(mine), _fields(fields))


def _counts(rows: Sequence[Sequence[Any]]) -> Confusion:
    return {(str(right), str(given)): int(n) for right, given, n in rows}


def _lines(counts: Mapping[str, Confusion]) -> tuple[LabelLine, ...]:
    scores = {arm: {one.label: one for one in per_label(found)} for arm, found in counts.items()}
    names = sorted({name for found in scores.values() for name in found})
    pairs = ((name, scores.get("candidate", {}).get(name), scores.get("production", {}).get(name)) for name in names)
    # The label that fares worst is what one wants to see.
    return tuple(
        sorted((LabelLine(*pair) for pair in pairs), key=lambda line: line.candidate.f1 if line.candidate else 0)
    )


def _matrix(counts: Confusion) -> tuple[MatrixLine, ...]:
    names = sorted({name for pair in counts for name in pair} - {OTHER})
    if not 1 < len(names) <= MATRIX_LABELS:
        return ()
    return tuple(MatrixLine(right, _cells(counts, right, names), counts.get((right, OTHER), 0)) for right in names)


def _cells(counts: Confusion, right: str, names: Sequence[str]) -> tuple[MatrixCell, ...]:
    return tuple(MatrixCell(name, counts.get((right, name), 0), name == right) for name in names)


def _confusions(counts: Confusion) -> tuple[tuple[str, str, int], ...]:
    wrong = [(right, given, n) for (right, given), n in counts.items() if right != given]
    return tuple(sorted(wrong, key=lambda one: (-one[2], one[0], one[1]))[:CONFUSIONS_SHOWN])


def _fields(fields: Mapping[str, Mapping[str, Sequence[int]]]) -> tuple[FieldLine, ...]:
    names = list(dict.fromkeys(name for found in fields.values() for name in found))
    return tuple(
        FieldLine(name, _share(fields, "candidate", name), _share(fields, "production", name)) for name in names
    )


def _share(fields: Mapping[str, Mapping[str, Sequence[int]]], arm: str, name: str) -> float | None:
    right, n = fields.get(arm, {}).get(name) or (0, 0)
    return right / n if n else None
