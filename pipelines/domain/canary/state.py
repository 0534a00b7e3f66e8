"""The canary's state: slots applied once, starts opened at steps and hours, everything as JSON."""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import log
from typing import Self

from pipelines.domain.canary.guardrails import (
    RULES,
    Arm,
    Guardrail,
    Outcome,
    Reading,
    first_per_key,
    is_bad_by,
    log_threshold,
    new_process,
)
from pipelines.domain.canary.plan import RolloutPlan
from pipelines.domain.eprocess import NOTHING, Bet, EProcess, Json, Slot, dealt_differences

HARMLESS = Bet.harm()
_MOST_WAITING = 5_000  # baseline requests kept while no candidate request arrives; older ones are left out unseen


@dataclass(frozen=True)
class Watch:
    """One guardrail's evidence. A slot that lacks an arm waits (0/1 per request, in order of arrival).

    `harm` and `pairs` are of the paired replay, whose evidence multiplies into that of the traffic.
    """

    process: EProcess
    safe: Bet
    waiting_candidate: str = ""
    waiting_production: str = ""
    last: Slot = NOTHING
    harm: Bet = HARMLESS
    pairs: Slot = NOTHING

    @property
    def log_evidence(self) -> float:
        """ln E that the candidate is worse, of traffic and pairs together."""
        return self.process.log_evidence + self.harm.log_evidence

    @property
    def counts(self) -> Slot:
        """Where the point estimate is read: the pairs, where they say more than the traffic does."""
        say_more = self.pairs.n_c > 0 and self.harm.log_evidence > self.process.log_evidence
        return self.pairs if say_more else self.process.strongest

    @property
    def seen(self) -> Slot:
        """All that was judged since the rollout began, traffic and pairs."""
        whole = self.process.starts[0].counts if self.process.starts else NOTHING
        return whole + self.pairs

    def after_pairs(self, candidate: Sequence[bool], production: Sequence[bool]) -> Self:
        """After further pairs, judged alike."""
        differences = [float(c) - float(b) for c, b in zip(candidate, production, strict=True)]
        seen = Slot(len(candidate), sum(candidate), len(production), sum(production))
        return replace(
            self, harm=self.harm.after(differences), safe=self.safe.after(differences), pairs=self.pairs + seen
        )

    def after(self, candidate: str, production: str) -> Self:
        """After one slot's outcomes."""
        candidate, production = self.waiting_candidate + candidate, self.waiting_production + production
        if not (candidate and production):
            return replace(
                self, waiting_candidate=candidate[-_MOST_WAITING:], waiting_production=production[-_MOST_WAITING:]
            )
        slot = Slot(len(candidate), candidate.count("1"), len(production), production.count("1"))
        differences = dealt_differences([b == "1" for b in candidate], [b == "1" for b in production])
        return replace(
            self,
            process=self.process.after(slot),
            safe=self.safe.after(differences),
            waiting_candidate="",
            waiting_production="",
            last=slot,
        )

    def opened(self) -> Self:
        """With one more start."""
        return replace(self, process=self.process.opened())

    def without_waiting(self) -> Self:
        """Without what waits: after a change of share it would mix two shares in one stratum."""
        return replace(self, waiting_candidate="", waiting_production="")

    def to_json(self) -> Json:
        """JSON values only."""
        waiting = [self.waiting_candidate, self.waiting_production]
        traffic = {"process": self.process.to_json(), "safe": self.safe.to_json(), "waiting": waiting}
        return traffic | {"last": self.last.to_json(), "harm": self.harm.to_json(), "pairs": self.pairs.to_json()}

    @classmethod
    def from_json(cls, data: Json) -> Self:
        """The inverse of `to_json`."""
        process, safe = EProcess.from_json(data["process"]), Bet.from_json(data["safe"])
        harm = Bet.from_json(data["harm"]) if "harm" in data else HARMLESS
        candidate, production = data["waiting"]
        pairs = Slot(*data.get("pairs", ()))
        return cls(process, safe, candidate, production, Slot(*data["last"]), harm, pairs)


@dataclass(frozen=True)
class CanaryState:
    """Where a rollout stands. `slow_limit_ms`: production's p95, frozen when the rollout began."""

    began_at: datetime
    slow_limit_ms: float
    step: int
    step_began_at: datetime
    watches: Mapping[Guardrail, Watch]
    last_slot: int = -1
    starts_opened: int = 0  # full `start_every` periods since the rollout began that have their start
    candidate_keys: int = 0  # keys counted on the candidate in this step
    pairs: int = 0  # replayed prompts that were applied

    def to_json(self) -> Json:
        """JSON values only."""
        return {
            "began_at": self.began_at.isoformat(),
            "slow_limit_ms": self.slow_limit_ms,
            "step": self.step,
            "step_began_at": self.step_began_at.isoformat(),
            "watches": {name.value: watch.to_json() for name, watch in self.watches.items()},
            "last_slot": self.last_slot,
            "starts_opened": self.starts_opened,
            "candidate_keys": self.candidate_keys,
            "pairs": self.pairs,
        }

    @classmethod
    def from_json(cls, data: Json) -> Self:
        """The inverse of `to_json`."""
        return cls(
            datetime.fromisoformat(data["began_at"]),
            data["slow_limit_ms"],
            data["step"],
            datetime.fromisoformat(data["step_began_at"]),
            # In this order: a database may keep the keys in another one, and sentences are made of it.
            {name: Watch.from_json(data["watches"][name]) for name in Guardrail},
            data["last_slot"],
            data["starts_opened"],
            data["candidate_keys"],
            data.get("pairs", 0),
        )


def begin(now: datetime, slow_limit_ms: float) -> CanaryState:
    """The state at the first moment of step 0 with its first start open."""
    watches = {name: Watch(new_process(name), Bet.safe(RULES[name].tolerance)) for name in Guardrail}
    return CanaryState(now, slow_limit_ms, 0, now, watches)


def after_replay(state: CanaryState, now: datetime) -> CanaryState:
    """The first step begins: step 0 is over, and its pairs are kept."""
    return replace(state, began_at=now, step_began_at=now)


def next_step(state: CanaryState, now: datetime) -> CanaryState:
    """The next step: a new start, keys counted afresh; the SAFE bet goes on."""
    watches = {name: watch.without_waiting().opened() for name, watch in state.watches.items()}
    return replace(state, step=state.step + 1, step_began_at=now, watches=watches, candidate_keys=0)


def due_slots(
    state: CanaryState, plan: RolloutPlan, now: datetime, request_timeout: timedelta
) -> list[tuple[int, datetime, datetime]]:
    """(number, from, to) of each slot that is closed and not yet applied; it closes `request_timeout` after its end."""
    closed = int((now - request_timeout - state.began_at) / plan.slot)
    numbers = range(state.last_slot + 1, max(closed, 0))
    return [(n, state.began_at + n * plan.slot, state.began_at + (n + 1) * plan.slot) for n in numbers]


def apply_slot(
    state: CanaryState, plan: RolloutPlan, number: int, outcomes: Iterable[Outcome], seen: Container[str]
) -> CanaryState:
    """The state after slot `number` (counted from the rollout's begin); a slot applied before changes nothing.

    `outcomes`: all requests that arrived in the slot; `seen`: keys counted earlier in this step and 24 h.
    """
    if number <= state.last_slot:
        return state
    state = _opened_until(state, int(number * plan.slot / plan.start_every))
    counted = first_per_key(outcomes, seen)
    watches = {
        name: watch.after(*(_bits(name, arm, counted, state.slow_limit_ms) for arm in Arm))
        for name, watch in state.watches.items()
    }
    keys = state.candidate_keys + sum(o.arm is Arm.CANDIDATE for o in counted)
    return replace(state, watches=watches, last_slot=number, candidate_keys=keys)


def _opened_until(state: CanaryState, periods: int) -> CanaryState:
    if periods <= state.starts_opened:
        return state
    watches = {name: watch.opened() for name, watch in state.watches.items()}
    return replace(state, watches=watches, starts_opened=periods)


def _bits(guardrail: Guardrail, arm: Arm, outcomes: Iterable[Outcome], slow_limit_ms: float) -> str:
    judged = (is_bad_by(guardrail, o, slow_limit_ms) for o in outcomes if o.arm is arm)
    return "".join("1" if bad else "0" for bad in judged if bad is not None)


def readings(state: CanaryState, plan: RolloutPlan) -> tuple[Reading, ...]:
    """Every guardrail as it stands."""
    return tuple(_reading(name, watch, plan) for name, watch in state.watches.items())


def _reading(name: Guardrail, watch: Watch, plan: RolloutPlan) -> Reading:
    return Reading(
        name,
        watch.log_evidence,
        log_threshold(name, plan.alpha),
        watch.counts,
        watch.safe.log_evidence,
        watch.safe.log_evidence >= log(plan.safe_threshold),
        watch.safe.more_outcomes(plan.safe_threshold),
    )
