"""Two texts word by word: what stayed, what was taken out, what was put in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher

LONGEST_WORDS = 1_500  # The comparison's cost grows with the product of both lengths.
_PIECE = re.compile(r"\s+|[^\s\w]|\w+")


@dataclass(frozen=True)
class Piece:
    """`kind`: same, out (of the first text) or in (of the second)."""

    kind: str
    text: str


def word_difference(one: str, two: str) -> tuple[Piece, ...]:
    """Pieces in reading order; texts longer than 1,500 words are shown whole, one after the other."""
    old, new = _PIECE.findall(one), _PIECE.findall(two)
    if max(len(old), len(new)) > 2 * LONGEST_WORDS:
        return tuple(piece for piece in (Piece("out", one), Piece("in", two)) if piece.text)
    return tuple(_pieces(old, new))


def _pieces(old: list[str], new: list[str]) -> Iterator[Piece]:
    for kind, i, j, k, m in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind == "equal":
            yield Piece("same", "".join(old[i:j]))
            continue
        if i < j:
            yield Piece("out", "".join(old[i:j]))
        if k < m:
            yield Piece("in", "".join(new[k:m]))
