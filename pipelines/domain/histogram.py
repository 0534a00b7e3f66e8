"""Mergeable latency histogram: logarithmic buckets, quantiles within 2 % of the true value."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import ceil, exp, isfinite, log, sqrt
from typing import Self

GAMMA = 1.04
_LOG_GAMMA = log(GAMMA)
_SMALLEST_MS = 0.01


@dataclass(frozen=True)
class Histogram:
    """Counts per bucket i, which holds (gamma^(i-1), gamma^i] ms. Adding two of them loses nothing."""

    counts: Mapping[int, int] = field(default_factory=dict)

    @classmethod
    def of(cls, latencies_ms: Iterable[float]) -> Self:
        """From single times in ms; refuses what is no time."""
        return cls(dict(Counter(bucket_of(ms) for ms in latencies_ms)))

    def __add__(self, other: "Histogram") -> "Histogram":
        return Histogram(dict(Counter(self.counts) + Counter(other.counts)))

    @property
    def total(self) -> int:
        """How many times were counted."""
        return sum(self.counts.values())

    def quantile(self, share: float) -> float | None:
        """The smallest bucket value with at least `share` of the counts at or below it, in ms; None when empty."""
        rank, seen = max(1, ceil(share * self.total - 1e-9)), 0
        for index in sorted(self.counts):
            seen += self.counts[index]
            if seen >= rank:
                return exp(index * _LOG_GAMMA) / sqrt(GAMMA)  # the bucket's geometric middle
        return None

    def count_above(self, limit_ms: float) -> int:
        """How many times lie in buckets above the one of `limit_ms`."""
        limit = bucket_of(limit_ms)
        return sum(count for index, count in self.counts.items() if index > limit)

    def to_json(self) -> dict[str, int]:
        """JSON object: bucket -> count."""
        return {str(index): count for index, count in sorted(self.counts.items())}

    @classmethod
    def from_json(cls, data: Mapping[str, int]) -> Self:
        """The inverse of `to_json`."""
        return cls({int(index): count for index, count in data.items()})


def bucket_of(latency_ms: float) -> int:
    """The bucket of a time in ms; everything under 0.01 ms shares one."""
    if not isfinite(latency_ms) or latency_ms < 0:
        raise ValueError(f"{latency_ms} ms is no time")
    return ceil(log(max(latency_ms, _SMALLEST_MS)) / _LOG_GAMMA - 1e-9)
