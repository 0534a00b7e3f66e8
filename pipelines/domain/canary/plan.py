"""The rollout plan: shares, minimum durations and minimum evidence."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True)
class Step:
    """A share of the keys (basis points) for at least `minimum`; advances with `min_keys` on the candidate or SAFE.

    `min_keys` None: only SAFE on all guardrails advances.
    """

    share_bp: int
    minimum: timedelta
    min_keys: int | None = None


@dataclass(frozen=True)
class RolloutPlan:
    """Timers are minimum durations *and* minimum evidence; `alpha` is the false-rollback budget of the canary."""

    steps: tuple[Step, ...] = (Step(500, timedelta(hours=2), min_keys=50), Step(2_500, timedelta(hours=4)))
    max_step: timedelta = timedelta(hours=24)
    slot: timedelta = timedelta(minutes=1)
    start_every: timedelta = timedelta(hours=1)
    alpha: float = 0.005
    safe_threshold: float = 20.0
    max_pairs: int = 400  # distinct prompts that one rollout may replay
    transport_errors: int = 5
    literal: bool = False
    literal_drop: float = 0.05

    def __post_init__(self) -> None:
        shares = [step.share_bp for step in self.steps]
        if not shares or shares != sorted(set(shares)) or shares[0] <= 0 or shares[-1] >= 10_000:
            raise ValueError(f"shares must rise within 1..9,999 basis points: {shares}")
        if any(step.minimum > self.max_step for step in self.steps):
            raise ValueError(f"no step can last longer than {self.max_step}")
        if not (0 < self.alpha < 1 and self.safe_threshold > 1 and self.slot > timedelta(0)):
            raise ValueError("alpha must lie between 0 and 1, safe_threshold above 1, slot above 0")
