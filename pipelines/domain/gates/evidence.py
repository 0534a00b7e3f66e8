"""What was measured: the evidence that gates judge."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Direction(StrEnum):
    """Which way a metric is good."""

    HIGHER = "higher"
    LOWER = "lower"


@dataclass(frozen=True)
class PairedScores:
    """One score per case id; `production` None: there is none yet. Scores of 0 and 1 only are judged as right/wrong."""

    candidate: Mapping[str, float]
    production: Mapping[str, float] | None
    direction: Direction = Direction.HIGHER


@dataclass(frozen=True)
class CorpusScore:
    """A metric of the whole set (macro-F1, BLEU) over n cases; the p by approximate randomisation, one-sided.

    `drop_low`, `drop_high`: bounds of the drop, one-sided 95 % each. `variance`: of one case's share in the difference.
    """

    candidate: float
    production: float | None
    n: int
    p_worse: float | None = None
    p_better: float | None = None
    direction: Direction = Direction.HIGHER
    drop_low: float | None = None
    drop_high: float | None = None
    variance: float = 0.0


@dataclass(frozen=True)
class SetOutcome:
    """Which case of a must-pass set passed; `flaky`: differed between two greedy runs, whatever it answered."""

    passed: Mapping[str, bool]
    flaky: tuple[str, ...] = ()


@dataclass(frozen=True)
class LatencyPairs:
    """Warm answer times in ms, paired by prompt, all rounds so far pooled; `rounds`: how many those are."""

    candidate_ms: tuple[float, ...]
    production_ms: tuple[float, ...] | None
    rounds: int = 1


@dataclass(frozen=True)
class FileSizes:
    """Sizes of the shipped files in bytes."""

    candidate_bytes: int
    production_bytes: int | None


@dataclass(frozen=True)
class Evidence:
    """Everything measured for one candidate, by metric or set name. What is absent could not be measured.

    `unmeasured`: why, per metric. `stale`: why nothing can be said against production, whatever was measured.
    """

    paired: Mapping[str, PairedScores] = field(default_factory=dict)
    corpus: Mapping[str, CorpusScore] = field(default_factory=dict)
    sets: Mapping[str, SetOutcome] = field(default_factory=dict)
    latency: LatencyPairs | None = None
    sizes: FileSizes | None = None
    unmeasured: Mapping[str, str] = field(default_factory=dict)
    stale: str = ""
