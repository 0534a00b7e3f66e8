"""Rollouts simulated through the judge that ships: pairs first, then 5 % and 25 % of the traffic, then the monitor.

false_rollback_rate: 1,000 rollouts of a version that is equal, canary and 24 h monitor together, 10,000 a day.
literal_false_rollback_rate: the same under the rule "more than 5 % below the baseline", each slot a window.
requests_to_catch_20_points: candidate requests, median, from 0.90 to 0.70 at 25 %, no replay.
promoted_10_points_worse: the worst of 50 to 10,000 requests a day, with and without replay.
healthy_unattended: the worst of 50, 100, 200 and 500 requests a day, replay allowed.
Numbers of rollouts are options; the tables are those of docs/why/canary-evidence.md.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from multiprocessing import Pool

import numpy as np

from bench.report import Figure, at_least, at_most, report
from pipelines.domain import canary, monitor
from pipelines.domain.canary import Arm, CanaryState, Guardrail, Move, Outcome, Pair, RolloutPlan
from pipelines.domain.eprocess import Slot

T0 = datetime(2026, 3, 2, 3, 0, tzinfo=UTC)
LIMIT_MS, SLOW_MS, FAST_MS = 500.0, 900.0, 100.0
PLAN = RolloutPlan(slot=timedelta(minutes=5))
MONITOR = monitor.MonitorPlan()
STEADY = 0.45  # share of prompts that two equal models answer alike: 10 % of the pairs are discordant
TARGETS = {
    "false_rollback_rate": at_most(0.01),
    "promoted_10_points_worse": at_most(0.03),
    "healthy_unattended": at_least(0.90),
}
SHIPS = "promoted"


@dataclass(frozen=True)
class World:
    """What happens to the traffic. Rates of bad output, errors and slow answers; the candidate's is `drop` higher."""

    per_day: int
    drop: float = 0.0
    bad: float = 0.10
    error: float = 0.001
    slow: float = 0.05
    replay: bool = True
    literal: bool = False

    @property
    def plan(self) -> RolloutPlan:
        return replace(PLAN, literal=self.literal)


@dataclass
class Ended:
    """How one rollout ended: promoted, held, or rolled back in the canary or by the monitor; after how much."""

    how: str
    hours: float
    candidate_requests: int
    by: str = ""
    state: CanaryState | None = field(default=None, repr=False)


class Traffic:
    """Requests of distinct keys: Poisson arrivals, independent outcomes."""

    def __init__(self, world: World, seed: int) -> None:
        self.world, self.rng, self.serial = world, np.random.default_rng(seed), 0

    def slot(self, at: datetime, share: float, length: timedelta) -> list[Outcome]:
        expected = self.world.per_day * (length / timedelta(days=1))
        n_c, n_b = self.rng.poisson(expected * share), self.rng.poisson(expected * (1 - share))
        drops = [(Arm.CANDIDATE, self.world.drop)] * int(n_c) + [(Arm.PRODUCTION, 0.0)] * int(n_b)
        return [self.answer(at, arm, drop) for arm, drop in drops]

    def answer(self, at: datetime, arm: Arm, drop: float) -> Outcome:
        world, luck = self.world, self.rng.random(4)
        self.serial += 1
        when = at + timedelta(seconds=float(luck[3]))
        latency = SLOW_MS if luck[1] < world.slow else FAST_MS
        is_error = bool(luck[0] < world.error)
        is_bad = None if is_error else bool(luck[2] < world.bad + drop)
        return Outcome(when, arm, str(self.serial), is_error, latency, is_bad)

    def counts(self, length: timedelta, days: int) -> dict[Guardrail, tuple[int, int]]:
        """(requests, bad ones) of one slot on so many days, of an equal version: drawn at once, not one by one."""
        world, rng = self.world, self.rng
        n = int(rng.poisson(days * world.per_day * (length / timedelta(days=1))))
        errors = int(rng.binomial(n, world.error))
        slow, bad = (int(rng.binomial(n - errors, rate)) for rate in (world.slow, world.bad))
        return {Guardrail.ERROR: (n, errors), Guardrail.SLOW: (n - errors, slow), Guardrail.BAD: (n - errors, bad)}

    def pairs(self, count: int) -> list[Pair]:
        """The same prompt to both: what one gets wrong the other often gets wrong too, so few pairs are discordant."""
        return [self._pair() for _ in range(count)]

    def _pair(self) -> Pair:
        world = self.world
        production = self.answer(T0, Arm.PRODUCTION, 0.0)
        other = self.answer(T0, Arm.CANDIDATE, world.drop)
        if self.rng.random() < STEADY and production.is_bad is not None:
            harmed = not production.is_bad and bool(self.rng.random() < world.drop / (1 - world.bad))
            other = replace(other, is_bad=production.is_bad or harmed)
        return Pair(other, production)


def roll_out(seed: int, world: World) -> Ended:
    """One rollout from step 0 to its end."""
    traffic, state = Traffic(world, seed), canary.begin(T0, LIMIT_MS)
    if world.replay:
        state = canary.apply_pairs(state, traffic.pairs(PLAN.max_pairs))
        if canary.after_shadow(state, world.plan).move is Move.ROLL_BACK:
            return Ended("rolled back", 0.0, 0, "pairs")
    requests, number = 0, 0
    while True:
        share = PLAN.steps[state.step].share_bp / 10_000
        at = T0 + number * PLAN.slot
        outcomes = traffic.slot(at, share, PLAN.slot)
        requests += sum(o.arm is Arm.CANDIDATE for o in outcomes)
        state = canary.apply_slot(state, world.plan, number, outcomes, frozenset())
        number += 1
        now = T0 + number * PLAN.slot
        decision = canary.decide(state, world.plan, now, outcomes)
        ended = partial(Ended, hours=(now - T0) / timedelta(hours=1), candidate_requests=requests, state=state)
        match decision.move:
            case Move.ROLL_BACK:
                return ended("rolled back", by=decision.guardrail.value if decision.guardrail else "")
            case Move.HOLD | Move.HALT | Move.REPLAY:
                return ended("held")
            case Move.ADVANCE if state.step + 1 == len(PLAN.steps):
                return ended(SHIPS)
            case Move.ADVANCE:
                state = canary.next_step(state, now)


def watched(seed: int, world: World) -> Ended:
    """The rollout, and the monitor after it, whose baseline is a deck of the week before."""
    ended = roll_out(seed, world)
    if ended.how != SHIPS:
        return ended
    traffic, state = Traffic(world, seed + 1_000_003), monitor.begin(T0)
    plan = replace(MONITOR, literal=world.literal)
    looks, number = list(monitor.check_times(plan, T0)), 0
    for now in looks:
        while T0 + (number + 1) * plan.slot <= now:
            live, deck = traffic.counts(plan.slot, 1), traffic.counts(plan.slot, 7)
            state = monitor.apply_slot(state, plan, number, {g: Slot(*live[g], *deck[g]) for g in Guardrail})
            number += 1
        recent = traffic.slot(now, 1.0, timedelta(minutes=1))
        decision = monitor.decide(state, plan, now, recent)
        if decision.move is monitor.MonitorMove.ROLL_BACK:
            return replace(ended, how="rolled back", by=f"monitor: {decision.guardrail}")
    return ended


class Study:
    """Many rollouts over the processor's cores; the same seeds give the same figures."""

    def __init__(self, processes: int) -> None:
        self.pool = Pool(processes)

    def of(self, world: World, runs: int, whole: bool = False) -> list[Ended]:
        task = partial(watched if whole else roll_out, world=world)
        return self.pool.map(task, range(10_000, 10_000 + runs), chunksize=max(1, runs // 16))


def share(found: list[Ended], how: str) -> float:
    return sum(one.how == how for one in found) / len(found)


def equal(study: Study, runs: int, per_day: int) -> dict[str, Figure]:
    world = World(per_day)
    plain = study.of(world, runs, whole=True)
    literal = study.of(replace(world, literal=True), max(50, runs // 5), whole=True)
    fired = Counter(one.by for one in plain if one.how == "rolled back")
    return {
        "false_rollback_rate": share(plain, "rolled back"),
        "false_rollback_by": ", ".join(f"{by} {n}" for by, n in fired.items()) or "none",
        "literal_false_rollback_rate": share(literal, "rolled back"),
    }


def detection(study: Study, runs: int) -> dict[str, Figure]:
    """Drops of 2, 5, 10 and 20 points at 10,000 requests a day: what becomes of the version, and how soon."""
    print("\nA worse version, 10,000 requests a day")
    table("drop", "replay", "rolled back by pairs", "in the canary", "promoted", "held", "requests, median / p90")
    figures: dict[str, Figure] = {}
    for drop in (0.02, 0.05, 0.10, 0.20):
        for replay in (False, True):
            found = study.of(World(10_000, drop=drop, replay=replay), runs)
            print(_row(drop, replay, found))
            caught = [one.candidate_requests for one in found if one.how == "rolled back"]
            if drop == 0.20 and not replay:
                figures["requests_to_catch_20_points"] = float(np.median(caught))
    return figures


def table(*heads: str) -> None:
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")


def _row(drop: float, replay: bool, found: list[Ended]) -> str:
    live = [one.candidate_requests for one in found if one.how == "rolled back" and one.by != "pairs"]
    pairs = sum(one.by == "pairs" for one in found) / len(found)
    spent = f"{np.median(live):.0f} / {np.percentile(live, 90):.0f}" if live else "-"
    cells = [pairs, share(found, "rolled back") - pairs, share(found, SHIPS), share(found, "held")]
    return f"| {100 * drop:.0f} | {'yes' if replay else 'no'} | {' | '.join(map(_percent, cells))} | {spent} |"


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def by_traffic(study: Study, runs: int) -> dict[str, Figure]:
    print("\nBy traffic: an equal version, and one 10 points worse")
    equals = ("equal: promoted", "rolled back", "held", "hours, median")
    table("requests a day", "replay", *equals, "10 pts worse: promoted", "held")
    promoted, unattended = [], []
    for per_day, replay in _traffics():
        good, bad = (study.of(World(per_day, drop=drop, replay=replay), runs) for drop in (0.0, 0.10))
        promoted.append(share(bad, SHIPS))
        hours = [one.hours for one in good if one.how == SHIPS]
        cells = [_percent(share(good, how)) for how in (SHIPS, "rolled back", "held")]
        cells.append(f"{np.median(hours):.0f}" if hours else "-")
        cells += [_percent(share(bad, how)) for how in (SHIPS, "held")]
        print(f"| {per_day:,} | {'yes' if replay else 'no'} | {' | '.join(cells)} |", flush=True)
        if replay and per_day <= 500:
            unattended.append(share(good, SHIPS))
    return {"promoted_10_points_worse": max(promoted), "healthy_unattended": min(unattended)}


def _traffics() -> Iterator[tuple[int, bool]]:
    for per_day in (50, 100, 200, 500, 2_000, 10_000):
        yield per_day, True
        yield per_day, False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    parser.add_argument("--rollouts", type=int, default=1_000, help="equal versions, canary and monitor")
    parser.add_argument("--each", type=int, default=400, help="rollouts per line of the tables")
    parser.add_argument("--per-day", type=int, default=10_000, help="requests a day of the equal versions")
    parser.add_argument("--processes", type=int, default=1)
    options = parser.parse_args()
    study = Study(options.processes)
    figures = detection(study, options.each) | by_traffic(study, options.each)
    figures |= equal(study, options.rollouts, options.per_day)
    report("canary", figures, TARGETS, options.json)


if __name__ == "__main__":
    main()
