"""Paired replay: both arms answer the same recent prompts, each prompt once (statistics.md D)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pipelines.domain.canary.decide import Decision, Move, fired
from pipelines.domain.canary.guardrails import RULES, Guardrail, Outcome, is_bad_by, is_past_margin
from pipelines.domain.canary.plan import RolloutPlan
from pipelines.domain.canary.state import CanaryState, readings
from pipelines.domain.eprocess import Slot


@dataclass(frozen=True)
class Pair:
    """What the two arms answered to one prompt."""

    candidate: Outcome
    production: Outcome


def apply_pairs(state: CanaryState, pairs: Sequence[Pair]) -> CanaryState:
    """The state after further pairs. The caller gives each pair once: `state.pairs` says how many were given before."""
    watches = {
        name: watch.after_pairs(*_bits(name, pairs, state.slow_limit_ms)) for name, watch in state.watches.items()
    }
    return replace(state, watches=watches, pairs=state.pairs + len(pairs))


def _bits(guardrail: Guardrail, pairs: Sequence[Pair], slow_limit_ms: float) -> tuple[list[bool], list[bool]]:
    """Candidate and production, of the pairs where the guardrail can judge both."""
    judged = [
        (is_bad_by(guardrail, pair.candidate, slow_limit_ms), is_bad_by(guardrail, pair.production, slow_limit_ms))
        for pair in pairs
    ]
    both = [(c, b) for c, b in judged if c is not None and b is not None]
    return [c for c, _ in both], [b for _, b in both]


def after_shadow(state: CanaryState, plan: RolloutPlan) -> Decision:
    """What follows from step 0, in which no user met the candidate: back, or on to the first step."""
    stands = readings(state, plan)
    found = fired(stands)
    if found is not None:
        return found
    safe = all(reading.is_safe for reading in stands)
    tail = "10 points worse is excluded" if safe else "no guardrail fired, live traffic must show the rest"
    sentence = f"step 0: {state.pairs} recent prompts answered by both versions; {tail}"
    return Decision(Move.ADVANCE, sentence, {"pairs": state.pairs, "is_safe": safe})


def confirms(guardrail: Guardrail, pairs: Sequence[Pair], slow_limit_ms: float) -> tuple[bool, str]:
    """Whether pairs agree with an alarm of the monitor, and their rates in words.

    A frozen deck cannot tell a worse model from other traffic; the same prompts can. They agree where the difference
    they show is itself past the margin: healthy pairs with 10 % discordant do so by chance in 0.6 % (300 pairs).
    """
    candidate, production = _bits(guardrail, pairs, slow_limit_ms)
    counts = Slot(len(candidate), sum(candidate), len(production), sum(production))
    c, b = counts.rates
    words = f"{counts.n_c} pairs: {RULES[guardrail].words} {c:.3f} against {b:.3f}"
    return counts.n_c > 0 and is_past_margin(guardrail, counts), words
