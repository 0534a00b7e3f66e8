"""Each figure over the versions of a pipeline, as a picture drawn by the server."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pipelines.models import ModelVersion, Scorecard
from tenants.models import Pipeline

WIDTH, HEIGHT, MARGIN = 600.0, 90.0, 8.0
LOOKED_BACK = 60
P95, SIZE_MB = "latency p95, ms", "GGUF, MB"


@dataclass(frozen=True)
class Point:
    """One version. `is_promoted`: it was in production; the line joins those."""

    version: ModelVersion
    value: float
    is_promoted: bool
    x: float = 0.0
    y: float = 0.0


@dataclass(frozen=True)
class TrendLine:
    """`path` joins the promoted versions, oldest first; `low` and `high` are the ends of the scale."""

    name: str
    points: tuple[Point, ...]
    path: str
    low: float
    high: float

    @property
    def last(self) -> Point:
        return self.points[-1]


def trend_lines(pipeline: Pipeline) -> tuple[TrendLine, ...]:
    """Every metric that a version was measured by, then its latency and size."""
    cards = Scorecard.objects.filter(version__pipeline=pipeline).select_related("version").order_by("-version__number")
    found: dict[str, list[Point]] = {}
    for card in reversed(list(cards[:LOOKED_BACK])):
        for name, value in _figures(card):
            found.setdefault(name, []).append(Point(card.version, value, card.version.promoted_at is not None))
    order = sorted(found, key=lambda name: (name in (P95, SIZE_MB), name == SIZE_MB))
    return tuple(_drawn(name, found[name]) for name in order)


def _figures(card: Scorecard) -> Iterable[tuple[str, float]]:
    for name, facts in card.metrics.items():
        if facts.get("candidate") is not None:
            yield name, float(facts["candidate"])
    p95 = card.latency_ms.get("candidate_p95")
    if p95 is not None:
        yield P95, float(p95)
    yield SIZE_MB, card.version.gguf_bytes / 1e6


def _drawn(name: str, points: list[Point]) -> TrendLine:
    low, high = min(p.value for p in points), max(p.value for p in points)
    spread, step = high - low, (WIDTH - 2 * MARGIN) / max(1, len(points) - 1)
    placed = tuple(
        Point(
            p.version,
            p.value,
            p.is_promoted,
            MARGIN + step * i,
            HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * ((p.value - low) / spread if spread else 0.5),
        )
        for i, p in enumerate(points)
    )
    path = " ".join(f"{p.x:.1f},{p.y:.1f}" for p in placed if p.is_promoted)
    return TrendLine(name, placed, path, low, high)
