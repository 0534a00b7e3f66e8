"""The 24 hours after 100 %: when to look, the week before as a frozen deck, and what follows."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from math import log
from typing import Self

from pipelines.domain.canary.guardrails import (
    RULES,
    Guardrail,
    Noticed,
    Outcome,
    Reading,
    is_bad_by,
    log_threshold,
    new_process,
    within_margin,
)
from pipelines.domain.canary.literal import is_literal_drop
from pipelines.domain.canary.transport import Transport, has_passed, transport_errors
from pipelines.domain.eprocess import NOTHING, Bet, EProcess, Json, Slot

Numbers = Mapping[str, float | int | str | bool | None]
Counts = Mapping[Guardrail, Slot]
NO_COUNTS: Counts = {}


@dataclass(frozen=True)
class MonitorPlan:
    """`phases`: (looks, apart). `baselines` 2 where a holdback share runs beside the deck: thresholds are doubled."""

    phases: tuple[tuple[int, timedelta], ...] = (
        (12, timedelta(minutes=5)),
        (20, timedelta(minutes=15)),
        (18, timedelta(hours=1)),
    )
    slot: timedelta = timedelta(minutes=5)
    start_every: timedelta = timedelta(hours=1)
    alpha: float = 0.005
    baselines: int = 1
    safe_threshold: float = 20.0
    transport_errors: int = 5
    literal: bool = False
    literal_drop: float = 0.05

    @property
    def duration(self) -> timedelta:
        """From the first moment at 100 % to the last look."""
        return sum((looks * apart for looks, apart in self.phases), timedelta(0))

    def scaled(self, factor: float) -> Self:
        """The same looks, `factor` times as far apart."""
        phases = tuple((looks, apart * factor) for looks, apart in self.phases)
        return replace(self, phases=phases, slot=self.slot * factor, start_every=self.start_every * factor)


def check_times(plan: MonitorPlan, began_at: datetime) -> tuple[datetime, ...]:
    """Every look: by default 12 + 20 + 18 = 50 in 24 h."""
    times, at = [], began_at
    for looks, apart in plan.phases:
        for _ in range(looks):
            at += apart
            times.append(at)
    return tuple(times)


def deck_windows(rollout_began_at: datetime, start: datetime, days: int = 7) -> tuple[datetime, ...]:
    """Starts of the same clock slot on each of the `days` before the rollout: read once each, so dealt once each."""
    day = timedelta(days=1)
    back = (start - rollout_began_at) // day + 1  # so that the newest window starts before the rollout did
    return tuple(start - day * (back + k) for k in range(days))


def count_slot(outcomes: Iterable[Outcome], slow_limit_ms: float) -> dict[Guardrail, tuple[int, int]]:
    """(requests, bad ones) per guardrail; of outcomes that are one per key already."""
    kept = list(outcomes)
    counts = {}
    for name in Guardrail:
        bits = [bad for o in kept if (bad := is_bad_by(name, o, slow_limit_ms)) is not None]
        counts[name] = (len(bits), sum(bits))
    return counts


@dataclass(frozen=True)
class DeckWatch:
    """One guardrail against the deck; `safe` bets once per slot on the difference of both shares."""

    process: EProcess
    safe: Bet
    pending: Slot = NOTHING
    last: Slot = NOTHING

    def after(self, slot: Slot) -> Self:
        """After one slot; one that lacks an arm waits for the next."""
        merged = self.pending + slot
        if not merged.has_both_arms:
            return replace(self, pending=merged)
        c, b = merged.rates
        return replace(
            self, process=self.process.after(merged), safe=self.safe.after([c - b]), pending=NOTHING, last=merged
        )

    def to_json(self) -> Json:
        """JSON values only."""
        evidence = {"process": self.process.to_json(), "safe": self.safe.to_json()}
        return evidence | {"pending": self.pending.to_json(), "last": self.last.to_json()}

    @classmethod
    def from_json(cls, data: Json) -> Self:
        """The inverse of `to_json`."""
        process, safe = EProcess.from_json(data["process"]), Bet.from_json(data["safe"])
        return cls(process, safe, Slot(*data["pending"]), Slot(*data["last"]))


Watches = Mapping[Guardrail, DeckWatch]


@dataclass(frozen=True)
class MonitorState:
    """Where the monitor stands. `watches`: against the deck; `held`: against the holdback of the same slots."""

    began_at: datetime
    watches: Mapping[Guardrail, DeckWatch]
    held: Mapping[Guardrail, DeckWatch]
    last_slot: int = -1
    starts_opened: int = 0

    def to_json(self) -> Json:
        """JSON values only."""
        watches, held = (
            {name.value: watch.to_json() for name, watch in found.items()} for found in (self.watches, self.held)
        )
        moments = {"began_at": self.began_at.isoformat(), "last_slot": self.last_slot, "starts": self.starts_opened}
        return moments | {"watches": watches, "held": held}

    @classmethod
    def from_json(cls, data: Json) -> Self:
        """The inverse of `to_json`."""
        # Not as a database ordered them.
        watches = {name: DeckWatch.from_json(data["watches"][name]) for name in Guardrail}
        stored = data.get("held") or {}
        held = {name: DeckWatch.from_json(stored[name]) if stored else _fresh(name) for name in Guardrail}
        return cls(datetime.fromisoformat(data["began_at"]), watches, held, data["last_slot"], data["starts"])


def begin(now: datetime) -> MonitorState:
    """The state at the first moment at 100 %."""
    return MonitorState(now, {n: _fresh(n) for n in Guardrail}, {n: _fresh(n) for n in Guardrail})


def _fresh(guardrail: Guardrail) -> DeckWatch:
    return DeckWatch(new_process(guardrail), Bet.safe(RULES[guardrail].tolerance))


def apply_slot(
    state: MonitorState, plan: MonitorPlan, number: int, counts: Counts, held: Counts = NO_COUNTS
) -> MonitorState:
    """The state after slot `number` since the begin: live counts beside the deck's, and beside the holdback's.

    A slot that was applied before changes nothing.
    """
    if number <= state.last_slot:
        return state
    periods = int(number * plan.slot / plan.start_every)
    is_new = periods > state.starts_opened
    watches, beside = _after(state.watches, counts, is_new), _after(state.held, held, is_new)
    opened = max(periods, state.starts_opened)
    return replace(state, watches=watches, held=beside, last_slot=number, starts_opened=opened)


def _after(watches: Watches, counts: Counts, is_new: bool) -> Watches:
    if is_new:
        watches = {name: replace(w, process=w.process.opened()) for name, w in watches.items()}
    return {name: w.after(counts[name]) if name in counts else w for name, w in watches.items()}


def readings(state: MonitorState, plan: MonitorPlan) -> tuple[Reading, ...]:
    """Every guardrail as it stands against the deck."""
    return _readings(state.watches, plan)


def held_readings(state: MonitorState, plan: MonitorPlan) -> tuple[Reading, ...]:
    """Every guardrail as it stands against the holdback; none without one."""
    return _readings(state.held, plan) if plan.baselines > 1 else ()


def _readings(watches: Watches, plan: MonitorPlan) -> tuple[Reading, ...]:
    return tuple(
        Reading(
            name,
            watch.process.log_evidence,
            log_threshold(name, plan.alpha) + log(plan.baselines),
            watch.process.strongest,
            watch.safe.log_evidence,
            watch.safe.log_evidence >= log(plan.safe_threshold),
            watch.safe.more_outcomes(plan.safe_threshold),
        )
        for name, watch in watches.items()
    )


class Replay(StrEnum):
    """What a paired replay on both models says about a deck that fired."""

    IMPOSSIBLE = "impossible"
    POSSIBLE = "possible"
    AGREES = "agrees"
    DISAGREES = "disagrees"


class MonitorMove(StrEnum):
    """What to do now. `confirm`: replay pairs first, seconds."""

    CONTINUE = "continue"
    CONFIRM = "confirm"
    ROLL_BACK = "roll_back"
    END = "end"


@dataclass(frozen=True)
class MonitorDecision:
    """A move with its reason; `is_conclusive` on `end`: whether the evidence sufficed to call the version safe."""

    move: MonitorMove
    sentence: str
    numbers: Numbers = field(default_factory=dict)
    guardrail: Guardrail | None = None
    notices: tuple[Noticed, ...] = ()
    is_conclusive: bool = False


def decide(
    state: MonitorState,
    plan: MonitorPlan,
    now: datetime,
    recent: Sequence[Outcome] = (),
    replay: Replay = Replay.IMPOSSIBLE,
) -> MonitorDecision:
    """The decision at one look. `recent`: the latest requests, for the rule on transport errors.

    `replay`: what pairs say of a deck that fired. A holdback met the same traffic: what it finds needs no pairs.
    """
    stands, held = readings(state, plan), held_readings(state, plan)
    notices = within_margin((*stands, *held))
    fired = _past_margin(stands)
    if fired and replay is Replay.DISAGREES:
        sentence = f"{fired[0].sentence}, but pairs agree: the traffic changed"
        notices = (*notices, Noticed(fired[0].guardrail, sentence, fired[0].numbers()))
        fired = []
    urgent = _transport(recent, plan) or _against_holdback(_past_margin(held)) or _fired(fired, replay)
    decision = urgent or _literal(state, plan) or _end(state, plan, now, (stands, held))
    return replace(decision, notices=notices)


def _past_margin(stands: Sequence[Reading]) -> list[Reading]:
    return [r for r in stands if r.is_evidence and r.is_past_margin]


def _against_holdback(fired: Sequence[Reading]) -> MonitorDecision | None:
    if not fired:
        return None
    reading = max(fired, key=lambda r: r.log_evidence - r.log_threshold)
    sentence = f"{reading.sentence}, past the margin, against the holdback of the same hours"
    return MonitorDecision(MonitorMove.ROLL_BACK, sentence, reading.numbers(), reading.guardrail)


def _transport(recent: Sequence[Outcome], plan: MonitorPlan) -> MonitorDecision | None:
    """A host that was away for a moment takes back no version that answers again; the deck counts those errors."""
    n = plan.transport_errors
    if transport_errors(recent, n) is not Transport.CANDIDATE or has_passed(recent, n):
        return None
    sentence = f"{n} consecutive transport errors of distinct keys"
    return MonitorDecision(MonitorMove.ROLL_BACK, sentence, {"in_a_row": n, "threshold": n}, Guardrail.ERROR)


def _fired(fired: Sequence[Reading], replay: Replay) -> MonitorDecision | None:
    if not fired:
        return None
    reading = max(fired, key=lambda r: r.log_evidence - r.log_threshold)
    move, tail = MonitorMove.ROLL_BACK, "past the margin"
    match replay:
        case Replay.POSSIBLE:
            move, tail = MonitorMove.CONFIRM, "past the margin: pairs must confirm it"
        case Replay.IMPOSSIBLE:
            tail = "past the margin; replay impossible"
        case _:
            tail = "past the margin; pairs confirm it"
    return MonitorDecision(move, f"{reading.sentence}, {tail}", reading.numbers(), reading.guardrail)


def _literal(state: MonitorState, plan: MonitorPlan) -> MonitorDecision | None:
    for name, watch in state.watches.items():
        if plan.literal and is_literal_drop(watch.last, plan.literal_drop):
            c, b = watch.last.rates
            sentence = (
                f"{RULES[name].words}: success {1 - c:.3f} is more than {100 * plan.literal_drop:g} % below "
                f"{1 - b:.3f} (baseline), n={watch.last.n_c}: the literal rule"
            )
            numbers: Numbers = {"candidate_rate": c, "baseline_rate": b, "threshold": plan.literal_drop}
            return MonitorDecision(MonitorMove.ROLL_BACK, sentence, numbers, name)
    return None


def _end(
    state: MonitorState, plan: MonitorPlan, now: datetime, baselines: tuple[Sequence[Reading], Sequence[Reading]]
) -> MonitorDecision:
    stands, held = baselines
    safe = {r.guardrail for r in held if r.is_safe}
    elapsed = now - state.began_at
    numbers: Numbers = {"elapsed_s": elapsed.total_seconds(), "candidate_n": max(r.counts.n_c for r in stands)}
    if elapsed < plan.duration:
        return MonitorDecision(MonitorMove.CONTINUE, "no guardrail fired", numbers)
    unsafe = [RULES[r.guardrail].words for r in stands if not (r.is_safe or r.guardrail in safe)]
    if not unsafe:
        return MonitorDecision(MonitorMove.END, "monitor over, no guardrail fired", numbers, is_conclusive=True)
    sentence = f"monitor over, no guardrail fired, without enough evidence on {' and '.join(unsafe)}"
    return MonitorDecision(MonitorMove.END, sentence, numbers)
