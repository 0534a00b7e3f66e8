"""Labels out of a closed set: accuracy per case; F1, precision, recall and the confusion matrix over a set."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pipelines.metrics.case_mean import CaseMean
from pipelines.metrics.text import normalise_name

if TYPE_CHECKING:
    from pipelines.metrics import Row

# What a label is confused with when the answer was none of them.
OTHER = ""

Confusion = Mapping[tuple[str, str], int]


def _label(expected: Mapping[str, Any], answer: str) -> float:
    """`label` is the right one; where `labels` is given, the right one must be a member of it."""
    right, closed = expected["label"], _closed(expected) if "labels" in expected else None
    if closed is not None and right not in closed and not _is_among(right, closed):
        raise ValueError(f"the label {right!r} is not among `labels`")
    return float(normalise_name(answer) == normalise_name(str(right)))


def _one_of(expected: Mapping[str, Any], answer: str) -> float:
    """The answer is one of `labels`, whichever: what holds a classifier to its task, whatever it is asked."""
    return float(_is_among(answer, _closed(expected)))


def _closed(expected: Mapping[str, Any]) -> Sequence[Any]:
    closed = expected["labels"]
    if not isinstance(closed, list | tuple) or not closed:
        raise ValueError("`labels` is a list with at least one label")
    return closed


def _is_among(name: Any, labels: Sequence[Any]) -> bool:
    wanted = normalise_name(str(name))
    return any(normalise_name(str(label)) == wanted for label in labels)


label = CaseMean(_label)
one_of = CaseMean(_one_of)


@dataclass(frozen=True)
class LabelScore:
    """How one label fared. `support`: how often it was right; a figure that would divide by 0 is 0."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int


def confusion(rows: Sequence[Row]) -> Confusion:
    """{(right label, answered label or OTHER): cases}.

    An answer outside the closed set (`labels`) is a miss of the right class and no class of its own: one stray word
    must not add a class with F1 0. Without `labels` the classes are the expected ones.
    """
    return Counter(label_pairs(rows, classes_of(rows)))


def classes_of(rows: Iterable[Row]) -> Mapping[str, str]:
    """{normalised: as spelled} of every class of a set."""
    groups = dict.fromkeys(_names(row.expected) for row in rows)
    return {normalise_name(name): name for group in groups for name in group}


def label_pairs(rows: Iterable[Row], classes: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """(right label, answered label or OTHER) of each case, spelled as `classes_of` its set has them."""
    for row in rows:
        right = classes[normalise_name(str(row.expected["label"]))]
        yield right, classes.get(normalise_name(row.answer), OTHER)


def _names(expected: Mapping[str, Any]) -> tuple[str, ...]:
    """Spelled as they are; most cases of a set share one closed set, so each group is normalised once."""
    closed = tuple(map(str, expected.get("labels", ())))
    return closed if expected["label"] in closed else (*closed, str(expected["label"]))


def per_label(counts: Confusion) -> list[LabelScore]:
    """Every label that was right or answered at least once, in alphabetical order."""
    right, given = Counter[str](), Counter[str]()
    for (wanted, answered), n in counts.items():
        right[wanted] += n
        given[answered] += n
    names = sorted((right.keys() | given.keys()) - {OTHER})
    return [_scored(name, counts.get((name, name), 0), right[name], given[name]) for name in names]


def _scored(name: str, hits: int, right: int, given: int) -> LabelScore:
    f1 = 2 * hits / (right + given) if right + given else 0.0
    return LabelScore(name, hits / given if given else 0.0, hits / right if right else 0.0, f1, right)


@dataclass(frozen=True)
class F1:
    """macro: unweighted mean over the labels; weighted: by support; micro: from the summed counts."""

    average: Literal["macro", "micro", "weighted"]
    higher_is_better: bool = True
    is_corpus: bool = True

    def score(self, expected: Mapping[str, Any], answer: str) -> float:
        return _label(expected, answer)

    def corpus(self, rows: Sequence[Row]) -> float:
        return self.of(confusion(rows)) if rows else math.nan

    def of(self, counts: Confusion) -> float:
        scores = per_label(counts)
        match self.average:
            case "macro":
                return math.fsum(one.f1 for one in scores) / len(scores)
            case "weighted":
                return math.fsum(one.f1 * one.support for one in scores) / sum(one.support for one in scores)
            case "micro":
                hits = sum(n for (right, given), n in counts.items() if right == given)
                answered = sum(n for (_, given), n in counts.items() if given != OTHER)
                return 2 * hits / (sum(counts.values()) + answered)


f1_macro, f1_micro, f1_weighted = F1("macro"), F1("micro"), F1("weighted")
