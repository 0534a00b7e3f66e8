"""Guesses how an answer goes on, so that several of its tokens are computed at once. A wrong guess costs time only.

Leviathan et al., Fast Inference from Transformers via Speculative Decoding (2023), with greedy choice: a guessed token
counts only if the model itself chooses it, so the answer is the very one that comes token by token. The guesses: what
the case expects, the labels of its closed set from the first token that tells them apart, and what was answered before.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

MOST_GUESSED = 24
# Guesses that the model follows less often than this cost more than they bring.
LEAST_SHARE = 0.25
TRIED_BEFORE_JUDGING = 200


@dataclass
class Branch:
    """Answers seen that begin alike; `seen` counts them, `ends` those that end here."""

    seen: int = 0
    ends: int = 0
    after: dict[int, Branch] = field(default_factory=dict)


class Guesses:
    """`tokenise` gives the ids of an answer's text."""

    def __init__(self, tokenise: Callable[[str], list[int]]) -> None:
        self._tokenise = tokenise
        self._root = Branch()
        self._known: set[str] = set()
        self._guessed = self._right = 0

    def expected(self, expected: Mapping[str, Any]) -> list[int]:
        """Ids of the answer that a case expects, as far as its check names one."""
        for label in expected.get("labels", ()):
            if label not in self._known:
                self._known.add(label)
                self.learn(self._tokenise(label))
        text = expected.get("label") or expected.get("text")
        if text is None and "fields" in expected:
            text = json.dumps(expected["fields"], ensure_ascii=False)
        return self._tokenise(text) if isinstance(text, str) else []

    def learn(self, answer: Sequence[int]) -> None:
        """An answer that was given."""
        branch = self._root
        for token in answer:
            branch = branch.after.setdefault(token, Branch())
            branch.seen += 1
        branch.ends += 1

    def guess(self, expected: Sequence[int], given: Sequence[int], room: int) -> list[int]:
        """How the answer that begins with `given` goes on, at most `room` tokens; empty where nothing is known."""
        most = min(room, MOST_GUESSED)
        if most < 1 or not self._pays():
            return []
        if list(expected[: len(given)]) == list(given):
            return list(expected[len(given) : len(given) + most])
        return self._usual(given, most)

    def tell(self, guessed: int, right: int) -> None:
        self._guessed, self._right = self._guessed + guessed, self._right + right

    def _pays(self) -> bool:
        return self._guessed < TRIED_BEFORE_JUDGING or self._right >= LEAST_SHARE * self._guessed

    def _usual(self, given: Sequence[int], most: int) -> list[int]:
        """Along the answers seen, as long as more than half of them agree."""
        branch: Branch | None = self._root
        for token in given:
            branch = branch.after.get(token) if branch else None
        found: list[int] = []
        while branch and branch.after and len(found) < most:
            token, following = max(branch.after.items(), key=lambda pair: pair[1].seen)
            if 2 * following.seen <= branch.ends + sum(b.seen for b in branch.after.values()):
                break
            found.append(token)
            branch = following
        return found
