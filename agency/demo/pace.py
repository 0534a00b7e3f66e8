"""How fast the demo goes on a base model: durations, minimum evidence and recipe, and how much traffic it sends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

TINY = "tiny"


@dataclass(frozen=True)
class Pace:
    """`settings` are sections of a pipeline's settings; `recipe` what the base wants beside its own name."""

    settings: dict[str, Any]
    recipe: dict[str, Any]
    requests_per_s: float


def _steps(first_s: int, second_s: int, **more: Any) -> dict[str, Any]:
    """Steps of seconds instead of hours, on traffic of seconds."""
    steps = [{"share": 0.05, "min_duration_s": first_s}, {"share": 0.25, "min_duration_s": second_s}]
    return {"steps": steps, "min_keys": 5, "safe_evidence": 3.0} | more


SHORT = Pace(
    {
        "rollout": _steps(3, 5, max_step_s=180, check_every_s=1, request_timeout_s=3),
        "monitor": {"duration_s": 15, "safe_evidence": 3.0},
    },
    {"epochs": 5},
    requests_per_s=25.0,
)
# A model of 135 M parameters answers 5 to 8 requests a second on two cores, so that the same evidence takes longer. The
# product's learning rate is made for the tiny base; a pretrained one wants a lower one.
PATIENT = Pace(
    {
        "rollout": _steps(15, 20, max_step_s=900, check_every_s=2, request_timeout_s=10),
        "monitor": {"duration_s": 60, "safe_evidence": 3.0},
    },
    {"learning_rate": 1e-3, "epochs": 2},
    requests_per_s=5.0,
)


def pace_of(base: str) -> Pace:
    return SHORT if base == TINY else PATIENT
