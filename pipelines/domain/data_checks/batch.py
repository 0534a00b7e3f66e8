"""What follows from the checks of a whole batch: go on, hold, stop, or skip."""

from dataclasses import dataclass
from enum import StrEnum


class Course(StrEnum):
    """What the run does. `skip`: too little data, nothing is wrong. `hold`: a person confirms or fixes."""

    PROCEED = "proceed"
    HOLD = "hold"
    SKIP = "skip"
    STOP = "stop"


@dataclass(frozen=True)
class BatchLimits:
    """`new_examples`: the least that are worth a training; `malformed`: the largest share of broken rows."""

    new_examples: int = 100
    malformed: float = 0.05


@dataclass(frozen=True)
class BatchCounts:
    """Rows of a batch: all, broken ones, those left to train on after every check."""

    rows: int
    malformed: int
    usable: int


@dataclass(frozen=True)
class BatchDecision:
    """The course with every reason, those of a lesser course included."""

    course: Course
    reasons: tuple[str, ...]


def decide_batch(
    counts: BatchCounts, breaches: tuple[str, ...] = (), limits: BatchLimits | None = None
) -> BatchDecision:
    """Stop beats skip beats hold. `breaches`: sentences of the distribution check, each of which holds."""
    limits = limits or BatchLimits()
    found = [*_malformed(counts, limits), *_too_few(counts, limits), *((Course.HOLD, reason) for reason in breaches)]
    course = found[0][0] if found else Course.PROCEED
    return BatchDecision(course, tuple(reason for _, reason in found))


def _malformed(counts: BatchCounts, limits: BatchLimits) -> list[tuple[Course, str]]:
    if not counts.rows or counts.malformed <= limits.malformed * counts.rows:
        return []
    share = f"{100 * counts.malformed / counts.rows:.1f} %"
    reason = f"{counts.malformed} of {counts.rows} rows are malformed ({share}), at most {100 * limits.malformed:g} %"
    return [(Course.STOP, reason)]


def _too_few(counts: BatchCounts, limits: BatchLimits) -> list[tuple[Course, str]]:
    missing = limits.new_examples - counts.usable
    if missing <= 0:
        return []
    return [(Course.SKIP, f"{counts.usable} of {limits.new_examples} new examples: {missing} are missing")]
