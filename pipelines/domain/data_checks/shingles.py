"""Word shingles and their exact Jaccard similarity: the measure of near duplicates."""

import re
import unicodedata
from collections.abc import Set

NEAR_DUPLICATE = 0.95
_WORDS = re.compile(r"\w+")
_WIDTH = 3


def folded(text: str) -> str:
    """NFC, lower case. An accent may be a character of its own, as in texts of a Mac or a PDF; it would end a word."""
    return unicodedata.normalize("NFC", text).lower()


def shingles(text: str) -> frozenset[str]:
    """All runs of three words, lower case; a shorter text is one shingle, a text without words has none."""
    words = _WORDS.findall(folded(text))
    if 0 < len(words) < _WIDTH:
        return frozenset({" ".join(words)})
    return frozenset(map(" ".join, zip(words, words[1:], words[2:], strict=False)))


def jaccard(one: Set[str], two: Set[str]) -> float:
    """Size of the intersection over size of the union; 0 when both are empty: nothing is alike about nothing."""
    shared = len(one & two)
    union = len(one) + len(two) - shared
    return shared / union if union else 0.0
