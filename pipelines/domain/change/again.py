"""From which stage a run that ended can be gone on with by another run, and what then has to be there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

# The trigger makes nothing that could be gone on with, and what reached all the traffic is shipped, not run again.
STAGES = ("validate", "finetune", "evaluate", "compare", "deploy")
ON_BYTES = ("evaluate", "compare", "deploy")
ENDS = ("skipped", "stopped", "rejected", "rolled_back", "failed", "cancelled")
# A run that the machine or a person turned down: what it set aside comes back by a person's word only.
TURNED_DOWN = ("stopped", "rejected", "rolled_back")


def offered(status: str, ended_in: str, path: Sequence[str]) -> tuple[str, ...]:
    """The stages of its path up to the one it ended in. The bytes of a version that traffic met are not tried again."""
    if status not in ENDS:
        return ()
    was_in_traffic = status == "rolled_back" or ended_in == "monitor"
    last = STAGES.index(ended_in) if ended_in in STAGES else len(STAGES) - 1 if ended_in == "monitor" else -1
    return tuple(s for s in STAGES[: last + 1] if s in path and not (was_in_traffic and s in ON_BYTES))


def walked(stage: str, path: Sequence[str]) -> tuple[str, ...]:
    """What is left of the path. Gates are judged again before anything ships: production may be another by now."""
    first = "compare" if stage == "deploy" else stage
    left_out = STAGES[: STAGES.index(first)]
    return tuple(s for s in path if s not in left_out)


@dataclass(frozen=True)
class Left:
    """What is left of a run. `has_rows`: None where it froze no dataset; `has_files`: None where it made no version.

    `is_prompt`: its version rests on no rows of its own: only the prompt is new, or somebody brought the model.

    `recipe_changed`: since its version was trained. `stale`: why its measurements say nothing about today; empty where
    they do. `has_answers`: None where nothing was measured.
    """

    number: int
    has_rows: bool | None
    has_files: bool | None
    is_prompt: bool
    recipe_changed: bool
    has_answers: bool | None
    stale: str


def missing(left: Left, stage: str) -> str:
    """Why it cannot go on from there, and from where it can; empty where it can."""
    if stage == "finetune":
        return _of_rows(left)
    if stage in ON_BYTES:
        return _of_bytes(left) or (_of_measurements(left) if stage != "evaluate" else "")
    return ""


def _of_rows(left: Left) -> str:
    if left.has_rows is None:
        return f"Run {left.number} froze no dataset. Re-run it from Validate."
    return "" if left.has_rows else f"The list of the rows of run {left.number} is gone. Start a new run."


def _of_bytes(left: Left) -> str:
    if left.has_files is None:
        return f"Run {left.number} made no version. Re-run it from Fine-tune."
    if not left.has_files:
        return f"The file of run {left.number}'s version is no longer in the store. Re-run it from Fine-tune."
    if left.is_prompt:
        return ""
    if left.recipe_changed:
        return f"The recipe is another one since run {left.number} trained. Re-run it from Fine-tune."
    return _of_rows(left)


def _of_measurements(left: Left) -> str:
    if left.has_answers is None:
        return f"Run {left.number} measured nothing. Re-run it from Evaluate."
    if not left.has_answers:
        return f"The answers that run {left.number} measured are gone. Re-run it from Evaluate."
    return f"{left.stale} Re-run it from Evaluate." if left.stale else ""
