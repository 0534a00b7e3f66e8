"""What follows from the canary's state: advance, stay, roll back, replay, hold or halt."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from pipelines.domain.canary.guardrails import RULES, Guardrail, Noticed, Outcome, Reading, within_margin
from pipelines.domain.canary.literal import is_literal_drop
from pipelines.domain.canary.plan import RolloutPlan, Step
from pipelines.domain.canary.state import CanaryState, readings
from pipelines.domain.canary.transport import Transport, transport_errors

Numbers = Mapping[str, float | int | str | bool | None]


class Move(StrEnum):
    """What to do now. `replay`: pairs would settle it. `hold`, `halt`: a person must look."""

    ADVANCE = "advance"
    STAY = "stay"
    ROLL_BACK = "roll_back"
    REPLAY = "replay"
    HOLD = "hold"
    HALT = "halt"


@dataclass(frozen=True)
class Decision:
    """A move with its reason and numbers; `notices`: evidence of a difference too small to roll back for."""

    move: Move
    sentence: str
    numbers: Numbers = field(default_factory=dict)
    guardrail: Guardrail | None = None
    notices: tuple[Noticed, ...] = ()


def next_share_bp(state: CanaryState, plan: RolloutPlan) -> int:
    """Share after advancing; 10,000 after the last step."""
    following = plan.steps[state.step + 1 :]
    return following[0].share_bp if following else 10_000


def decide(
    state: CanaryState,
    plan: RolloutPlan,
    now: datetime,
    recent: Sequence[Outcome] = (),
    replay_possible: bool = False,
) -> Decision:
    """The decision at `now`. `recent`: the latest requests of both arms, repeated keys included."""
    stands = readings(state, plan)
    decision = _transport(recent, plan) or fired(stands) or _literal(state, plan)
    if decision is None:
        decision = _step(state, plan, now, stands, replay_possible)
    return Decision(decision.move, decision.sentence, decision.numbers, decision.guardrail, within_margin(stands))


def _transport(recent: Sequence[Outcome], plan: RolloutPlan) -> Decision | None:
    n = plan.transport_errors
    match transport_errors(recent, n):
        case Transport.FINE:
            return None
        case Transport.PRODUCTION:
            return Decision(Move.HALT, f"production fails: {n} consecutive transport errors", {"in_a_row": n})
        case Transport.CANDIDATE:
            sentence = f"{n} consecutive transport errors of distinct keys on the candidate; production answers"
            return Decision(Move.ROLL_BACK, sentence, {"in_a_row": n, "threshold": n}, Guardrail.ERROR)


def fired(stands: Sequence[Reading]) -> Decision | None:
    """Back, where a guardrail has its evidence *and* the difference is past the margin."""
    found = [r for r in stands if r.is_evidence and r.is_past_margin]
    if not found:
        return None
    reading = max(found, key=lambda r: r.log_evidence - r.log_threshold)
    return Decision(Move.ROLL_BACK, f"{reading.sentence}, past the margin", reading.numbers(), reading.guardrail)


def _literal(state: CanaryState, plan: RolloutPlan) -> Decision | None:
    if not plan.literal:
        return None
    for name, watch in state.watches.items():
        if is_literal_drop(watch.last, plan.literal_drop):
            c, b = watch.last.rates
            sentence = (
                f"{RULES[name].words}: success {1 - c:.3f} is more than {100 * plan.literal_drop:g} % below "
                f"{1 - b:.3f} (baseline), n={watch.last.n_c}: the literal rule"
            )
            numbers: Numbers = {"candidate_rate": c, "baseline_rate": b, "threshold": plan.literal_drop}
            return Decision(Move.ROLL_BACK, sentence, numbers, name)
    return None


def _step(
    state: CanaryState, plan: RolloutPlan, now: datetime, stands: Sequence[Reading], replay_possible: bool
) -> Decision:
    step, elapsed = plan.steps[state.step], now - state.step_began_at
    name = f"step {state.step + 1} ({step.share_bp / 100:g} %)"
    missing = _missing(state, step, stands)
    numbers: Numbers = {
        "step": state.step, "share_bp": step.share_bp, "keys": state.candidate_keys, "min_keys": step.min_keys,
        "elapsed_s": elapsed.total_seconds(), "is_safe": all(r.is_safe for r in stands), "pairs": state.pairs,
    }  # fmt: skip
    if elapsed < step.minimum:
        sentence = f"{name}: {_span(elapsed)} of {_span(step.minimum)}; {missing or 'the evidence is there'}"
        return Decision(Move.STAY, sentence, numbers)
    if not missing:
        sentence = f"{name}: {_span(step.minimum)} over, {state.candidate_keys} keys, no guardrail fired"
        return Decision(Move.ADVANCE, sentence, numbers)
    if elapsed < plan.max_step:
        return Decision(Move.STAY, f"{name}: {missing}", numbers)
    sentence = f"{name}: {_span(plan.max_step)} are over without the evidence; {missing}"
    may_replay = replay_possible and state.pairs < plan.max_pairs
    return Decision(Move.REPLAY if may_replay else Move.HOLD, sentence, numbers)


def _missing(state: CanaryState, step: Step, stands: Sequence[Reading]) -> str:
    """What is missing to advance, in words; empty when the evidence is there."""
    unsafe = [r for r in stands if not r.is_safe]
    if not unsafe or (step.min_keys is not None and state.candidate_keys >= step.min_keys):
        return ""
    if step.min_keys is not None:
        keys = f"{state.candidate_keys} of {step.min_keys} keys on the candidate"
        return f"{keys}, about {step.min_keys - state.candidate_keys} more"
    words = " and ".join(RULES[r.guardrail].words for r in unsafe)
    estimates = [r.more_for_safe for r in unsafe]
    if None in estimates:
        return f"{words} not shown to be safe, and not in sight"
    return f"{words} not shown to be safe: about {max(e or 0 for e in estimates)} more candidate keys"


def _span(duration: timedelta) -> str:
    seconds = int(duration.total_seconds())
    if seconds < 120:
        return f"{seconds} s"
    hours, minutes = divmod(seconds // 60, 60)
    return f"{hours} h {minutes} min" if hours and minutes else f"{hours} h" if hours else f"{minutes} min"
