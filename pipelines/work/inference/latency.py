"""Answer times of two models, measured in pairs so that a busy machine is busy for both."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pipelines.domain.gates.evidence import Evidence, LatencyPairs
from pipelines.domain.gates.latency import judge_latency
from pipelines.domain.gates.spec import GateKind, GateSpec, Rule
from pipelines.work.inference.cases import Case

WARM_UP_CALLS = 5
# Milliseconds of one call, loading excluded.
Ask = Callable[[Case], float]


@dataclass(frozen=True)
class LatencyPlan:
    """`calls` per arm and round, up to `rounds` while a gate cannot tell.

    `rel`, `floor_ms`: its limits. `further`: the `rel` of other gates, which have the same floor.
    """

    calls: int = 300
    rounds: int = 3
    rel: float = 0.10
    floor_ms: float = 0.0
    seed: int = 0
    further: Sequence[float] = ()

    def gates(self) -> Iterator[GateSpec]:
        for rel in (self.rel, *self.further):
            params = {"rel": rel, "floor_ms": self.floor_ms, "rounds": self.rounds}
            yield GateSpec(GateKind.LATENCY, "latency_p95", Rule.WITHIN, params=params)


@dataclass
class Times:
    """Milliseconds per call, paired by index; `cases` names the prompts."""

    cases: list[str] = field(default_factory=list)
    candidate: list[float] = field(default_factory=list)
    production: list[float] = field(default_factory=list)
    rounds: int = 0

    def summary(self) -> dict[str, Any]:
        """p50, p95 and p99 per arm (milliseconds), the number of calls and rounds."""
        arms = {"candidate": self.candidate, "production": self.production}
        return {
            "calls": len(self.candidate),
            "rounds": self.rounds,
            **{arm: _percentiles(times) if times else None for arm, times in arms.items()},
        }


def measure(arms: Sequence[Ask], cases: Sequence[Case], plan: LatencyPlan, tick: Callable[[], None]) -> Times:
    """Time the candidate and, if there is one, production: warm, call by call in alternating order."""
    times, order = Times(), random.Random(plan.seed)
    for ask in arms:
        for case in (list(cases) * WARM_UP_CALLS)[:WARM_UP_CALLS]:
            ask(case)
    while times.rounds == 0 or _needs_another(times, plan):
        for case in _draw(cases, plan.calls, order):
            _time_pair(list(arms), case, times)
            tick()
        times.rounds += 1
    return times


def _draw(cases: Sequence[Case], calls: int, order: random.Random) -> list[Case]:
    """Every case equally often, in a random order: with fewer cases than calls they come again."""
    drawn: list[Case] = []
    while len(drawn) < calls:
        drawn += order.sample(list(cases), len(cases))
    return drawn[:calls]


def _time_pair(arms: list[Ask], case: Case, times: Times) -> None:
    """The arm that goes first alternates: the second call of a pair finds warmer caches."""
    turn = len(times.cases) % len(arms)
    times.cases.append(case.id)
    for ask in arms[turn:] + arms[:turn]:
        arm = times.candidate if ask is arms[0] else times.production
        arm.append(round(ask(case), 3))


def _needs_another(times: Times, plan: LatencyPlan) -> bool:
    if not times.production:
        return False
    pairs = LatencyPairs(tuple(times.candidate), tuple(times.production), times.rounds)
    return any(judge_latency(gate, Evidence(latency=pairs)).needs_another_round for gate in plan.gates())


def _percentiles(times: Sequence[float]) -> dict[str, float]:
    p50, p95, p99 = (round(float(value), 3) for value in np.percentile(times, (50, 95, 99)))
    return {"p50": p50, "p95": p95, "p99": p99}
