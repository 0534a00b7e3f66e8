"""Plain text checks: exact, normalised, contains, must not contain, a number within a tolerance."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

from pipelines.metrics.case_mean import CaseMean

_PUNCTUATION_AROUND = re.compile(r"^[\W_]+|[\W_]+$")
_SPACES = re.compile(r"\s+")
# What writers put around a name: a bullet or heading, quotes, brackets, the end of a sentence, Markdown's emphasis.
_BULLET = re.compile(r"^(?:[-*+–—·→>]\s+|#{1,6}\s+|•\s*)|\s+[–—-]+$")
_AROUND_NAME = re.compile(r"""^[\s"'“”„«»‘’‹›`|(\[{¿¡]+|[\s"'“”„«»‘’‹›`|)\]}.,;:!?]+$""")
_EMPHASIS = re.compile(r"^(\*{1,3}|_{1,3})(?=\S)(.+)(?<=\S)\1$")


def normalise(text: str) -> str:
    """Case-folded, NFKC, one space between words, no punctuation or quotes around it; what is nothing else stays."""
    folded = _folded(text)
    return _PUNCTUATION_AROUND.sub("", folded) or folded


def normalise_name(text: str) -> str:
    """The same for labels and fields, where signs may tell two names apart: "-1" is not "1", nor "C#" "C++"."""
    folded = _folded(text)
    name, before = _BULLET.sub("", folded), ""
    while name != before:
        name, before = _EMPHASIS.sub(r"\2", _AROUND_NAME.sub("", name)), name
    return name or folded


def _folded(text: str) -> str:
    return _SPACES.sub(" ", unicodedata.normalize("NFKC", text).casefold()).strip()


def reference(expected: Mapping[str, Any]) -> str:
    """The text that was expected: `text`, or the label of a case that has one."""
    return str(expected["text"] if "text" in expected or "label" not in expected else expected["label"])


def _exact(expected: Mapping[str, Any], answer: str) -> float:
    return float(answer.strip() == reference(expected).strip())


def _normalised(expected: Mapping[str, Any], answer: str) -> float:
    return float(normalise(answer) == normalise(reference(expected)))


def _holds(answer: str, phrase: str) -> bool:
    return _SPACES.sub(" ", phrase.casefold()) in _SPACES.sub(" ", answer.casefold())


def _contains(expected: Mapping[str, Any], answer: str) -> float:
    """`all`: every phrase must occur; `any` or `phrases`: at least one. One of the keys must be there."""
    expected = _spelled(expected, "any")
    if "all" not in expected and "any" not in expected:
        raise KeyError("all")
    named = {key: _phrases(expected[key]) for key in ("all", "any") if key in expected}
    every = all(_holds(answer, phrase) for phrase in named.get("all", ()))
    return float(every and ("any" not in named or any(_holds(answer, phrase) for phrase in named["any"])))


def _not_contains(expected: Mapping[str, Any], answer: str) -> float:
    return float(not any(_holds(answer, phrase) for phrase in _phrases(_spelled(expected, "none")["none"])))


def _phrases(value: Any) -> tuple[str, ...]:
    """One phrase or a list of them. What every answer would hold, or none could, is no check."""
    found = (value,) if isinstance(value, str) else tuple(value)
    if not found or not all(isinstance(phrase, str) and phrase.strip() for phrase in found):
        raise ValueError("phrases are a text or a list of texts, and none of them is empty")
    return found


def _spelled(expected: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """`phrases` is the short way to write the check's usual key."""
    return {**expected, key: expected["phrases"]} if "phrases" in expected else expected


# Digits, also with separators of thousands ("1,234.5") or an exponent; none hangs on to a word or another number.
_NUMBER = re.compile(r"(?<![\w.])[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][-+]?\d+)?")
MINUS_SIGN = "\u2212"
# A number stands early in an answer; a longer text is not searched.
SEARCHED_CHARACTERS = 2000


def first_number(answer: str) -> float | None:
    """The first number of the answer; None where there is none."""
    found = _NUMBER.search(answer[:SEARCHED_CHARACTERS].replace(MINUS_SIGN, "-"))
    return float(found[0].replace(",", "")) if found else None


def _close(expected: Mapping[str, Any], answer: str) -> float:
    """`number`, and how far off it may be: `abs` in its own unit, `rel` as a share of it; the wider one holds."""
    wanted, given = float(expected["number"]), first_number(answer)
    limits = float(expected.get("abs", 0.0)), float(expected.get("rel", 0.0)) * abs(wanted)
    if not all(math.isfinite(value) and value >= 0 for value in limits) or not math.isfinite(wanted):
        raise ValueError("number, abs and rel must be finite, abs and rel not below 0")
    return float(given is not None and abs(given - wanted) <= max(limits) + 1e-12)


exact_match = CaseMean(_exact)
normalised_match = CaseMean(_normalised)
contains = CaseMean(_contains)
not_contains = CaseMean(_not_contains)
numeric = CaseMean(_close)
