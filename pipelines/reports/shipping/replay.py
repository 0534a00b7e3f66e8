"""Would recent traffic have been answered differently? Pairs of a rollout, grouped by what changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import orjson

from pipelines.models import ReplayPair, Rollout
from pipelines.reports.judging.difference import Piece, word_difference

LOST, WON, REWORDED, SAME = "lost", "won", "reworded", "same"
GROUPS = (LOST, WON, REWORDED, SAME)
SHORT = 60  # Of so many characters an answer is a label, and moves between two of them are counted.
MOST_MOVES = 20


@dataclass(frozen=True)
class PairLine:
    pair: ReplayPair

    @property
    def change(self) -> str:
        return change_of(self.pair)

    @property
    def said(self) -> str:
        """What was asked: the last message, or the prompt."""
        request: dict[str, Any] = orjson.loads(self.pair.body.request) if self.pair.body else self.pair.asked
        messages = request.get("messages") or []
        return str(messages[-1].get("content", "") if messages else request.get("prompt", ""))

    @cached_property
    def words(self) -> tuple[Piece, ...]:
        return word_difference(*(_text(side) for side in (self.pair.production, self.pair.candidate)))


@dataclass(frozen=True)
class ReplayReport:
    """`counts` by group, in order; `moves`: (production's answer, candidate's, how often), the most frequent first."""

    lines: tuple[PairLine, ...]
    counts: tuple[tuple[str, int], ...]
    moves: tuple[tuple[str, str, int], ...]
    shown: str

    @property
    def total(self) -> int:
        return sum(n for _name, n in self.counts)

    @property
    def changed(self) -> int:
        return self.total - dict(self.counts)[SAME]


def replay_report(rollout: Rollout, phase: str, shown: str) -> ReplayReport:
    """`shown`: one group, or "" for all that changed."""
    pairs = list(ReplayPair.objects.filter(rollout=rollout, phase=phase).select_related("body"))
    lines = [PairLine(pair) for pair in pairs]
    counts = Counter(line.change for line in lines)
    chosen = [line for line in lines if (line.change == shown if shown in GROUPS else line.change != SAME)]
    chosen.sort(key=lambda line: GROUPS.index(line.change))
    return ReplayReport(tuple(chosen), tuple((name, counts[name]) for name in GROUPS), _moves(pairs), shown)


def change_of(pair: ReplayPair) -> str:
    """Lost: the new version's answer fails the checks where production's did not."""
    ours, theirs = (_fails(side) for side in (pair.candidate, pair.production))
    if ours != theirs:
        return LOST if ours else WON
    return REWORDED if pair.is_changed else SAME


def _fails(said: dict[str, Any]) -> bool:
    return bool(said["is_error"] or said["is_bad"])


def _text(said: dict[str, Any]) -> str:
    return str(said.get("text", "")).strip()


def _moves(pairs: Sequence[ReplayPair]) -> tuple[tuple[str, str, int], ...]:
    texts = [(_text(pair.production), _text(pair.candidate)) for pair in pairs if pair.is_changed]
    moves = Counter((old, new) for old, new in texts if max(len(old), len(new)) <= SHORT)
    return tuple((old, new, n) for (old, new), n in moves.most_common(MOST_MOVES))
