"""Answer times of both models as two histograms on one scale, drawn by the server."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.artifacts import ArtifactDamaged, ArtifactMissing, store_of
from pipelines.models import Scorecard

BINS, WIDTH, HEIGHT = 40, 400.0, 60.0


@dataclass(frozen=True)
class Bar:
    """In the picture's own units; y grows downward."""

    x: float
    y: float
    width: float
    height: float
    title: str


@dataclass(frozen=True)
class Histogram:
    name: str
    bars: tuple[Bar, ...]
    p50: float
    p95: float
    p50_x: float
    p95_x: float


@dataclass(frozen=True)
class Times:
    """`arms`: candidate first; `ticks`: (x, ms). The scale is that of both, to the 99.5th percentile; slower ones count
    in the last bar."""

    arms: tuple[Histogram, ...]
    ticks: tuple[tuple[float, float], ...]
    calls: int


def answer_times(card: Scorecard) -> Times | None:
    """None where nothing was timed, or the times were swept by retention."""
    digest = card.cases.get("times_digest")
    try:
        lines = store_of(card.client_id).verified(digest).read_text().splitlines() if digest else []
    except (ArtifactMissing, ArtifactDamaged):
        return None
    pairs = [json.loads(line) for line in lines]
    arms = {name: np.array([p[f"{name}_ms"] for p in pairs if p.get(f"{name}_ms") is not None]) for name in
            ("candidate", "production")}  # fmt: skip
    found = {name: times for name, times in arms.items() if len(times)}
    if not found:
        return None
    top = max(float(np.percentile(times, 99.5)) for times in found.values()) or 1.0
    low = min(float(times.min()) for times in found.values())
    edges = np.linspace(low, max(top, low + 1e-3), BINS + 1)
    tallest = max(int(_counts(times, edges).max()) for times in found.values())
    drawn = tuple(_drawn(name, times, edges, tallest) for name, times in found.items())
    return Times(drawn, tuple((_x(ms, edges), float(ms)) for ms in np.linspace(edges[0], edges[-1], 5)), len(pairs))


def _counts(times: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.histogram(np.clip(times, edges[0], edges[-1]), edges)[0]


def _drawn(name: str, times: NDArray[np.float64], edges: NDArray[np.float64], tallest: int) -> Histogram:
    step = WIDTH / BINS
    bars = tuple(
        Bar(i * step, HEIGHT - HEIGHT * int(n) / tallest, step - 1, HEIGHT * int(n) / tallest,
            f"{edges[i]:.1f}-{edges[i + 1]:.1f} ms: {int(n)}")
        for i, n in enumerate(_counts(times, edges)) if n
    )  # fmt: skip
    p50, p95 = (float(np.percentile(times, p)) for p in (50, 95))
    return Histogram(name, bars, round(p50, 1), round(p95, 1), _x(p50, edges), _x(p95, edges))


def _x(ms: float, edges: NDArray[np.float64]) -> float:
    share = (ms - edges[0]) / (edges[-1] - edges[0])
    return float(min(1.0, max(0.0, share)) * WIDTH)
