"""What the pages tell of a host: how it did, when it was down, what lies on it and for whom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pipelines.hosts.naming import PRODUCTION, REGISTRY, is_ours
from pipelines.models import Placement
from tenants.models import Host, HostDrift, HostSample

SHOWN = timedelta(days=1)
LISTED = 20
WIDTH, HEIGHT = 600.0, 90.0


@dataclass(frozen=True)
class Outage:
    """`until` None: it is still down. `since` may lie before what is kept."""

    since: datetime
    until: datetime | None
    reason: str

    def seconds(self, now: datetime) -> float:
        return ((self.until or now) - self.since).total_seconds()


@dataclass(frozen=True)
class Chart:
    """The last day: `points` of a line of answer times for each stretch that it was up, and `gaps` (x, width) in

    between, in a box of 600 x 90.
    """

    lines: tuple[str, ...]
    gaps: tuple[tuple[float, float], ...]
    top_ms: float
    up_share: float | None


@dataclass(frozen=True)
class Held:
    """A name on the host; `version` is ours, `loaded_bytes` None where it is not in memory.

    `is_own`: of this host's client; hosts may be shared.
    """

    name: str
    digest: str
    size_bytes: int
    loaded_bytes: int | None
    version: Any
    is_ours: bool
    is_own: bool

    @property
    def is_alias(self) -> bool:
        return self.is_own and self.name.endswith(f":{PRODUCTION}")


@dataclass(frozen=True)
class HostPage:
    chart: Chart
    outages: tuple[Outage, ...]
    held: tuple[Held, ...]
    drifts: tuple[HostDrift, ...]
    past_drifts: tuple[HostDrift, ...]
    free_bytes: int | None


def host_page(row: Host, now: datetime) -> HostPage:
    samples = list(HostSample.objects.filter(host=row).order_by("at"))
    recent = [sample for sample in samples if sample.at >= now - SHOWN]
    drifts = list(HostDrift.objects.filter(host=row).select_related("pipeline")[: 4 * LISTED])
    return HostPage(
        chart=chart_of(recent, now),
        outages=tuple(reversed(outages(samples)))[:LISTED],
        held=_held(row),
        drifts=tuple(drift for drift in drifts if drift.ended_at is None),
        past_drifts=tuple(drift for drift in drifts if drift.ended_at is not None)[:LISTED],
        free_bytes=row.memory_bytes - row.facts.get("loaded_bytes", 0) if row.memory_bytes else None,
    )


def outages(samples: Sequence[HostSample]) -> list[Outage]:
    """Oldest first. Samples stand at every change, so an outage is exact to the pause between two looks."""
    found: list[Outage] = []
    for sample in samples:
        is_open = bool(found) and found[-1].until is None
        if not sample.is_up and not is_open:
            found.append(Outage(sample.at, None, sample.reason))
        elif sample.is_up and is_open:
            found[-1] = Outage(found[-1].since, sample.at, found[-1].reason)
    return found


def chart_of(samples: Sequence[HostSample], now: datetime) -> Chart:
    top = max((sample.latency_ms or 0.0 for sample in samples), default=0.0) or 1.0
    stretches: list[list[str]] = [[]]
    for sample in samples:
        if not sample.is_up:
            stretches.append([])
            continue
        stretches[-1].append(f"{_x(sample.at, now):.1f},{HEIGHT - 5 - 80 * (sample.latency_ms or 0.0) / top:.1f}")
    down = [(max(one.since, now - SHOWN), one.until or now) for one in outages(samples)]
    gaps = tuple((_x(since, now), max(_x(until, now) - _x(since, now), 1.5)) for since, until in down)
    lost_s = sum((until - since).total_seconds() for since, until in down)
    known_s = (now - samples[0].at).total_seconds() if samples else 0.0
    share = 1 - lost_s / known_s if known_s > 0 else None
    return Chart(tuple(" ".join(line) for line in stretches if len(line) > 1), gaps, top, share)


def _x(at: datetime, now: datetime) -> float:
    return WIDTH * (1 - (now - at) / SHOWN)


def _held(row: Host) -> tuple[Held, ...]:
    """Loaded models are matched by digest: a host goes on naming them as they were first loaded."""
    placed = {p.model_name: p.version for p in Placement.objects.filter(host=row).select_related("version__pipeline")}
    loaded = {one["digest"]: one["size_bytes"] for one in row.facts.get("loaded", ())}
    own = f"{REGISTRY}/{row.client.slug}/"
    found = [
        Held(tag["name"], tag["digest"], tag["size_bytes"], loaded.get(tag["digest"]), placed.get(tag["name"]),
             is_ours(tag["name"]), tag["name"].startswith(own))
        for tag in row.facts.get("models", ())
    ]  # fmt: skip
    return tuple(sorted(found, key=lambda held: (held.loaded_bytes is None, not held.is_ours, held.name)))
