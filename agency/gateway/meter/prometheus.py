"""What this process counted since it began, in Prometheus' text format (version 0.0.4)."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from agency.gateway.meter.judge import Record
from agency.gateway.routes.snapshot import RouteEntry

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
BUCKETS_S = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
COUNTERS = {
    "requests": "Attempts at a model.",
    "errors": "Attempts without a usable answer.",
    "bad_answers": "Answers that are empty, refuse, or have not the promised shape.",
    "input_tokens": "Tokens asked.",
    "output_tokens": "Tokens answered.",
}
HISTOGRAMS = {
    "duration_seconds": "From the host's turn to the end of its answer.",
    "first_token_seconds": "From the host's turn to the first bytes of a stream.",
}
# client id, pipeline, version number, arm, host
Labels = tuple[int, str, int, str, str]


@dataclass(slots=True)
class Times:
    """One histogram: how many fell into each bucket, the last of them without a bound."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS_S) + 1))
    total_s: float = 0.0

    def add(self, ms: float) -> None:
        self.counts[bisect_left(BUCKETS_S, ms / 1000)] += 1
        self.total_s += ms / 1000


@dataclass(slots=True)
class Series:
    counted: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTERS, 0))
    times: dict[str, Times] = field(default_factory=lambda: {name: Times() for name in HISTOGRAMS})


@dataclass(slots=True)
class Totals:
    """Written by the meter's thread alone; a page that is made meanwhile may miss the newest request."""

    series: dict[Labels, Series] = field(default_factory=dict)

    def add(self, entry: RouteEntry, record: Record) -> None:
        number = next((n for n, target in entry.targets.items() if target.version_id == record.version_id), 0)
        labels = (record.client_id, entry.slug, number, str(record.arm), record.host)
        series = self.series.setdefault(labels, Series())
        new = (1, record.is_error, record.is_bad is True, record.input_tokens, record.output_tokens)
        for name, amount in zip(COUNTERS, new, strict=True):
            series.counted[name] += amount
        series.times["duration_seconds"].add(record.latency_ms)
        if record.first_token_ms is not None:
            series.times["first_token_seconds"].add(record.first_token_ms)


def page(totals: Totals, client_name: Callable[[int], str], gauges: Mapping[str, float]) -> bytes:
    """All families; `gauges` are the process's own figures by name."""
    return "\n".join(_lines(totals, client_name, gauges)).encode() + b"\n"


def _lines(totals: Totals, client_name: Callable[[int], str], gauges: Mapping[str, float]) -> Iterator[str]:
    every = [(_labels(labels, client_name), series) for labels, series in sorted(totals.series.items())]
    for name, text in COUNTERS.items():
        yield from _head(f"retune_gateway_{name}_total", "counter", text)
        for labels, series in every:
            yield f"retune_gateway_{name}_total{{{labels}}} {series.counted[name]}"
    for name, text in HISTOGRAMS.items():
        yield from _head(f"retune_gateway_{name}", "histogram", text)
        for labels, series in every:
            yield from _histogram(f"retune_gateway_{name}", labels, series.times[name])
    for name, value in gauges.items():
        yield from _head(f"retune_gateway_{name}", "gauge", "")
        yield f"retune_gateway_{name} {value:g}"


def _head(name: str, kind: str, text: str) -> Iterator[str]:
    if text:
        yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"


def _histogram(name: str, labels: str, times: Times) -> Iterator[str]:
    seen = 0
    for bound, count in zip((*BUCKETS_S, "+Inf"), times.counts, strict=True):
        seen += count
        yield f'{name}_bucket{{{labels},le="{bound}"}} {seen}'
    yield f"{name}_sum{{{labels}}} {times.total_s:.6f}"
    yield f"{name}_count{{{labels}}} {seen}"


def _labels(labels: Labels, client_name: Callable[[int], str]) -> str:
    client_id, pipeline, number, arm, host = labels
    named = {"client": client_name(client_id), "pipeline": pipeline, "version": f"v{number}", "arm": arm, "host": host}
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in named.items())


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
