"""For a lost case or a bad answer: the training rows nearest to its question, new ones first."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.db.models import Q

from pipelines.models import DatasetVersion, Example, ExampleState, ModelVersion
from pipelines.reports.judging.comparison import CaseLine
from pipelines.validation.batch import said_by_user

LOOKED_AT = 20_000
SHOWN = 8
LEAST_ALIKE = 0.15
_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Suspect:
    """`alike` in 0..1: cosine of the words, rare ones weighing more. `is_new`: it came with this version's dataset."""

    example: Example
    question: str
    alike: float
    is_new: bool

    @property
    def answer(self) -> str:
        return str(self.example.messages[-1].get("content", "")) if self.example.messages else ""


def suspects(version: ModelVersion, line: CaseLine) -> tuple[Suspect, ...]:
    question = said_by_user([dict(message) for message in line.asked])
    return nearest(version, question, (line.candidate.text.strip(), line.wanted))


def nearest(version: ModelVersion, question: str, answers: Iterable[str]) -> tuple[Suspect, ...]:
    """At most eight, the new ones first, each group by likeness. Empty where nothing is near.

    `answers`: what was said and what would have been right, where that is known.
    """
    if not question or version.dataset is None:
        return ()
    older = _older(version.dataset, [text for text in answers if text])
    rows = [(row, True) for row in _new(version.dataset)] + [(row, False) for row in older]
    texts = [said_by_user(row.messages) for row, _is_new in rows]
    weights = _weights([question, *texts])
    target = _vector(question, weights)
    scored = (
        Suspect(row, text, _cosine(target, _vector(text, weights)), is_new)
        for (row, is_new), text in zip(rows, texts, strict=True)
    )
    near = sorted((s for s in scored if s.alike >= LEAST_ALIKE), key=lambda s: (not s.is_new, -s.alike))
    fresh = [s for s in near if s.is_new][: SHOWN // 2 + 1]
    return tuple([*fresh, *(s for s in near if not s.is_new)][:SHOWN])


def _new(dataset: DatasetVersion) -> list[Example]:
    return list(Example.objects.filter(dataset=dataset).order_by("-id")[:LOOKED_AT])


def _older(dataset: DatasetVersion, answers: Sequence[str]) -> list[Example]:
    """Rows that trained before: those whose answer is the one that was given or the right one say the most.

    Parked ones taught a version that was turned down, not this one.
    """
    rows = Example.objects.filter(pipeline=dataset.pipeline_id, dataset__isnull=False, dataset__lt=dataset)
    rows = rows.exclude(state=ExampleState.PARKED)
    labelled = rows.filter(Q(label__in=answers))
    return list((labelled if labelled.exists() else rows).order_by("-id")[:LOOKED_AT])


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def _weights(texts: Iterable[str]) -> dict[str, float]:
    """Inverse document frequency: what stands in every row tells nothing."""
    documents = [set(_words(text)) for text in texts]
    counts = Counter(word for words in documents for word in words)
    return {word: math.log(1 + len(documents) / count) for word, count in counts.items()}


def _vector(text: str, weights: dict[str, float]) -> dict[str, float]:
    counts = Counter(_words(text))
    found = {word: count * weights[word] for word, count in counts.items()}
    length = math.sqrt(math.fsum(value * value for value in found.values()))
    return {word: value / length for word, value in found.items()} if length else {}


def _cosine(one: dict[str, float], two: dict[str, float]) -> float:
    small, large = sorted((one, two), key=len)
    return math.fsum(value * large[word] for word, value in small.items() if word in large)
