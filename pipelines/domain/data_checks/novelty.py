"""How like an input is to what is known of each category: cosine of its words to the category's mean words."""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

_WORD = re.compile(r"[^\W_]+")
Vector = Mapping[str, float]


class Categories:
    """Made from (label, text) pairs. A word weighs ln(1 + N / rows with it); vectors have length 1."""

    def __init__(self, rows: Iterable[tuple[str, str]]) -> None:
        known = [(label, Counter(_words(text))) for label, text in rows]
        self.size = len(known)
        seen = Counter(word for _label, words in known for word in words)
        self._weights = {word: math.log(1 + self.size / n) for word, n in seen.items()}
        sums: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
        for label, words in known:
            for word, value in self._vector(words).items():
                sums[label][word] += value
        self._means = {label: _unit(total) for label, total in sums.items()}

    def nearest(self, text: str) -> tuple[str, float]:
        """The category that is most like the text, and how much, 0..1. Unknown words count against all of them."""
        vector = self._vector(Counter(_words(text)))
        likeness = {label: self._likeness(vector, mean) for label, mean in self._means.items()}
        label = max(sorted(likeness), key=likeness.__getitem__, default="")
        return label, likeness.get(label, 0.0)

    def knows(self, text: str, least: float) -> bool:
        """Whether some category is at least so like the text."""
        vector = self._vector(Counter(_words(text)))
        return any(self._likeness(vector, mean) >= least for mean in self._means.values())

    @staticmethod
    def _likeness(vector: Vector, mean: Vector) -> float:
        return min(1.0, math.fsum(value * mean.get(word, 0.0) for word, value in vector.items()))

    def _vector(self, words: Mapping[str, int]) -> Vector:
        rare = math.log(1 + self.size)
        return _unit({word: n * self._weights.get(word, rare) for word, n in words.items()})


def _unit(values: Mapping[str, float]) -> dict[str, float]:
    length = math.sqrt(math.fsum(value * value for value in values.values()))
    return {word: value / length for word, value in values.items()} if length else {}


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())
