"""Writes varied sentences from phrase lists and tells near duplicates apart."""

from __future__ import annotations

import random
import re
from collections import Counter, defaultdict

CHOICE = re.compile(r"\(([^()]*)\)")
WORD = re.compile(r"[\w'&/]+")
ASKS = re.compile(r"(are|can|could|do|does|has|how|is|may|must|shall|what|when|where|which|who|why|will|would)\b", re.I)
SWAPPABLE = re.compile(r"\b[a-z]{6,}\b")


def pick(rng: random.Random, template: str) -> str:
    """One reading of a template in which (a|b) means either."""
    while (found := CHOICE.search(template)) is not None:
        template = template[: found.start()] + rng.choice(found[1].split("|")) + template[found.end() :]
    return template


def shingles(text: str, width: int = 3) -> frozenset[tuple[str, ...]]:
    """The set of word `width`-shingles, lower case, punctuation dropped; a shorter text is one shingle."""
    words = WORD.findall(text.lower())
    return frozenset(tuple(words[i : i + width]) for i in range(max(1, len(words) - width + 1)))


def jaccard(one: frozenset[tuple[str, ...]], other: frozenset[tuple[str, ...]]) -> float:
    """Shared part of two shingle sets, 0..1."""
    return len(one & other) / len(one | other)


class NearIndex:
    """Finds the most similar text seen so far; exact, by an inverted index over shingles."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._sizes: list[int] = []
        self._holders: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)

    def nearest(self, text: str) -> tuple[float, str]:
        """(Jaccard similarity, text) of the nearest text, (0.0, "") when nothing is shared."""
        wanted = shingles(text)
        shared = Counter(i for one in wanted for i in self._holders.get(one, ()))
        scored = ((n / (len(wanted) + self._sizes[i] - n), i) for i, n in shared.items())
        score, i = max(scored, default=(0.0, -1))
        return score, self.texts[i] if i >= 0 else ""

    def add(self, text: str) -> None:
        marks = shingles(text)
        for one in marks:
            self._holders[one].append(len(self.texts))
        self.texts.append(text)
        self._sizes.append(len(marks))


def sentence(text: str) -> str:
    """Upper case at the start, a mark at the end unless there is one already: "?" after a question word."""
    mark = "?" if ASKS.match(text) else "."
    text = text[0].upper() + text[1:]
    return text if text[-1] in ".!?:," else text + mark


def slip(rng: random.Random, text: str, keep: frozenset[str]) -> str:
    """One typing slip in a longer word (two letters swapped, or one lost); words in `keep` are left alone."""
    words = [found for found in SWAPPABLE.finditer(text) if found[0] not in keep]
    if not words:
        return text
    start, end = rng.choice(words).span()
    at = rng.randrange(start + 1, end - 2)
    swapped = text[at + 1] + text[at] if rng.random() < 0.5 else text[at]
    return text[:at] + swapped + text[at + 2 :]
