"""A scorecard as pages show it: metrics, sets and latency of candidate and production, side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipelines.models import Scorecard
from pipelines.reports.evaluation.labels import Detail, detail_of
from tenants.models.eval_set import EvalKind

PERCENTILES = ("p50", "p95", "p99")
ARMS = ("candidate", "production")


@dataclass(frozen=True)
class MetricLine:
    """One figure of both models; latencies in ms. Lower latency is better, so nothing is said of which one is."""

    name: str
    candidate: float | None
    production: float | None

    @property
    def delta(self) -> float | None:
        if self.candidate is None or self.production is None:
            return None
        return round(self.candidate - self.production, 6)


@dataclass(frozen=True)
class SetLine:
    """One evaluation set: how many cases, and which version of it. `left_out`: further ones that an arm knew."""

    kind: str
    cases: int
    version: int | None
    left_out: int = 0


@dataclass(frozen=True)
class Measured:
    metrics: tuple[MetricLine, ...]
    latency: tuple[MetricLine, ...]
    sets: tuple[SetLine, ...]
    calls: int
    engine: str
    detail: Detail | None = None
    judge: dict[str, Any] | None = None


def measured(card: Scorecard | None) -> Measured | None:
    if card is None:
        return None
    calls = int(card.latency_ms.get("calls") or 0)
    return Measured(
        metric_lines(card), latency_lines(card), set_lines(card), calls, card.engine, detail_of(card), judge_of(card)
    )


def judge_of(card: Scorecard) -> dict[str, Any] | None:
    """Who judged and how it went; None where no judge model was asked."""
    heldout = card.cases.get("heldout")
    return heldout.get("judge") if isinstance(heldout, dict) else None


def metric_lines(card: Scorecard | None) -> tuple[MetricLine, ...]:
    if card is None:
        return ()
    return tuple(MetricLine(name, m.get("candidate"), m.get("production")) for name, m in card.metrics.items())


def latency_lines(card: Scorecard) -> tuple[MetricLine, ...]:
    found = card.latency_ms
    lines = (MetricLine(name, *(_tenths(found.get(f"{arm}_{name}")) for arm in ARMS)) for name in PERCENTILES)
    return tuple(line for line in lines if line.candidate is not None)


def _tenths(ms: float | None) -> float | None:
    """More than that such a measurement does not tell."""
    return None if ms is None else round(ms, 1)


def set_lines(card: Scorecard) -> tuple[SetLine, ...]:
    versions, left_out = (card.cases.get(name) or {} for name in ("set_versions", "left_out"))
    kinds = [kind for kind in EvalKind if isinstance(card.cases.get(kind), dict)]
    return tuple(
        SetLine(kind, int(card.cases[kind].get("n") or 0), versions.get(kind), left_out.get(kind, 0)) for kind in kinds
    )
