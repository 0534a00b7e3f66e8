"""The canary: what each closed slot of traffic says, and what follows for the rollout."""

from pipelines.domain.canary.decide import Decision, Move, decide, next_share_bp
from pipelines.domain.canary.guardrails import RULES, Arm, Guardrail, Noticed, Outcome, Reading, first_per_key
from pipelines.domain.canary.literal import literal_false_rollback_rate
from pipelines.domain.canary.pairs import Pair, after_shadow, apply_pairs, confirms
from pipelines.domain.canary.plan import RolloutPlan, Step
from pipelines.domain.canary.state import CanaryState, after_replay, apply_slot, begin, due_slots, next_step, readings
from pipelines.domain.canary.transport import Transport, transport_errors

__all__ = [
    "RULES",
    "Arm",
    "CanaryState",
    "Decision",
    "Guardrail",
    "Move",
    "Noticed",
    "Outcome",
    "Pair",
    "Reading",
    "RolloutPlan",
    "Step",
    "Transport",
    "after_replay",
    "after_shadow",
    "apply_pairs",
    "apply_slot",
    "begin",
    "confirms",
    "decide",
    "due_slots",
    "first_per_key",
    "literal_false_rollback_rate",
    "next_share_bp",
    "next_step",
    "readings",
    "transport_errors",
]
