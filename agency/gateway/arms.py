"""Which arm answers: sticky by key, and a key that carries too much of the traffic takes no part."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic

from agency.gateway.meter.sighting import Arm
from agency.gateway.routes.snapshot import RouteEntry
from pipelines.domain.assignment import AssignmentKey, is_heavy, is_on_candidate

WINDOW_S = 600.0
KEYS_KEPT = 20_000


@dataclass(slots=True)
class Volume:
    """Requests by key over the last one to two windows, of one pipeline.

    A key once found heavy stays out for the whole rollout: it must not go to and fro around the 5 %.
    """

    began_at: float
    now: Counter[str] = field(default_factory=Counter)
    before: Counter[str] = field(default_factory=Counter)
    total: int = 0
    total_before: int = 0
    heavy: set[str] = field(default_factory=set)
    rollout_id: int | None = None

    def note(self, key: str, rollout_id: int | None, at: float) -> bool:
        """Counts one request; gives whether its key is heavy."""
        if at - self.began_at > WINDOW_S or len(self.now) >= KEYS_KEPT:
            self.before, self.now, self.total_before, self.total, self.began_at = self.now, Counter(), self.total, 0, at
        if rollout_id != self.rollout_id:
            self.heavy, self.rollout_id = set(), rollout_id
        self.now[key] += 1
        self.total += 1
        if is_heavy(self.now[key] + self.before[key], self.total + self.total_before):
            self.heavy.add(key)
        return key in self.heavy


@dataclass(slots=True)
class Arms:
    """Counts live in this process: two gateways each see their own share of the traffic."""

    clock: Callable[[], float] = monotonic
    volumes: dict[int, Volume] = field(default_factory=dict)

    def choose(self, entry: RouteEntry, key: AssignmentKey) -> Arm:
        at = self.clock()
        volume = self.volumes.get(entry.pipeline_id)
        if volume is None:
            volume = self.volumes[entry.pipeline_id] = Volume(at)
        is_heavy_key = volume.note(key.value, entry.rollout_id, at)
        target = None if entry.candidate is None else entry.target(entry.candidate)
        if target is None or not target.open_places or is_heavy_key:
            return Arm.PRODUCTION
        chosen = is_on_candidate(str(entry.pipeline_id), str(entry.rollout_id), key.value, entry.candidate_bp)
        return Arm.CANDIDATE if chosen else Arm.PRODUCTION
