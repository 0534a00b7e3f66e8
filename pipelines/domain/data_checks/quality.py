"""The quality score of one example: a weighted mean of configurable parts, each 0..1."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from pipelines.domain.data_checks.language import language_of
from pipelines.domain.data_checks.schema import Example


class OutputFormat(StrEnum):
    """What an answer must be."""

    TEXT = "text"
    JSON = "json"
    LABEL = "label"


@dataclass(frozen=True)
class QualitySettings:
    """`weights`: part -> weight, a part that is absent does not count. `language`: a code of `language_of`, None: any;

    a text that tells no language does not count.
    """

    threshold: float = 0.5
    weights: Mapping[str, float] = field(default_factory=lambda: {"length": 1.0, "format": 1.0, "refusal": 1.0})
    words: tuple[int, int] = (1, 2_000)
    format: OutputFormat = OutputFormat.TEXT
    labels: frozenset[str] = frozenset()
    json_fields: frozenset[str] = frozenset()
    language: str | None = None

    def __post_init__(self) -> None:
        unknown = self.weights.keys() - PARTS.keys()
        if unknown or not self.weights or sum(self.weights.values()) <= 0 or min(self.weights.values()) < 0:
            raise ValueError(f"weights must be positive and name parts among {', '.join(PARTS)}: {dict(self.weights)}")


@dataclass(frozen=True)
class QualityScore:
    """The score, its parts, and whether the row is good enough to train on."""

    score: float
    parts: Mapping[str, float]
    is_enough: bool


def score_quality(example: Example, settings: QualitySettings, rating: float | None = None) -> QualityScore:
    """Score one example; `rating` 0..1 by a person, None: unrated, and that part does not count."""
    parts = {name: PARTS[name](example, settings, rating) for name in settings.weights}
    known = {name: value for name, value in parts.items() if value is not None}
    total = sum(settings.weights[name] for name in known)
    score = sum(settings.weights[name] * value for name, value in known.items()) / total if total else 1.0
    return QualityScore(score, known, score >= settings.threshold)


def _length(example: Example, settings: QualitySettings, _: float | None) -> float:
    low, high = settings.words
    words = len(example.answer.split())
    return min(1.0, words / low if low else 1.0, high / words if words else 1.0)


def _format(example: Example, settings: QualitySettings, _: float | None) -> float:
    match settings.format:
        case OutputFormat.TEXT:
            return 1.0
        case OutputFormat.LABEL:
            return float(example.answer.strip() in settings.labels)
        case OutputFormat.JSON:
            return _json_share(example.answer, settings.json_fields)


def _json_share(answer: str, fields: frozenset[str]) -> float:
    """Share of the wanted fields in an object; 0 for anything else."""
    try:
        value = json.loads(answer)
    except (ValueError, RecursionError):
        return 0.0
    if not isinstance(value, dict):
        return 0.0
    return len(fields & value.keys()) / len(fields) if fields else 1.0


def _rating(_: Example, __: QualitySettings, rating: float | None) -> float | None:
    return None if rating is None else min(1.0, max(0.0, rating))


_REFUSAL = re.compile(
    r"\b(i (can(no|')t|am (sorry|unable|not able)|won't)|i'm (sorry|unable|not able)|as an ai"
    r"|no puedo (ayudar|responder|proporcionar)|lo siento|como (modelo de lenguaje|una ia))\b",
    re.IGNORECASE,
)


def is_refusal(answer: str) -> bool:
    """Whether an answer opens like a refusal (English, Spanish)."""
    return _REFUSAL.search(answer[:200].replace("\u2019", "'").replace("cannot", "can't")) is not None


def _refusal(example: Example, _: QualitySettings, __: float | None) -> float:
    return 0.0 if is_refusal(example.answer) else 1.0


def _language(example: Example, settings: QualitySettings, _: float | None) -> float | None:
    found = language_of(example.near_text) if settings.language else ""
    return float(found == settings.language) if found else None


PARTS: Mapping[str, Callable[[Example, QualitySettings, float | None], float | None]] = {
    "length": _length,
    "format": _format,
    "rating": _rating,
    "refusal": _refusal,
    "language": _language,
}
