"""From which stage a run that ended can be gone on with."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipelines.domain.change.again import ENDS, STAGES, Left, missing, offered, walked
from pipelines.domain.transitions import LIVE_RUNS, RunStatus

PATH = ("trigger", "validate", "finetune", "evaluate", "compare", "deploy", "monitor")
WHOLE = Left(7, True, True, is_prompt=False, recipe_changed=False, has_answers=True, stale="")


def test_every_end_but_a_good_one_can_be_gone_on_with() -> None:
    assert set(ENDS) == set(RunStatus) - LIVE_RUNS - {RunStatus.SUCCEEDED}


@pytest.mark.parametrize(
    ("status", "ended_in", "stages"),
    [
        ("failed", "trigger", ()),
        ("skipped", "validate", ("validate",)),
        ("failed", "finetune", ("validate", "finetune")),
        ("rejected", "compare", ("validate", "finetune", "evaluate", "compare")),
        ("failed", "deploy", STAGES),
        ("rolled_back", "deploy", ("validate", "finetune")),
        ("failed", "monitor", ("validate", "finetune")),
        ("succeeded", "monitor", ()),
        ("held", "compare", ()),
    ],
)
def test_stages_up_to_its_end_are_offered(status: str, ended_in: str, stages: tuple[str, ...]) -> None:
    assert offered(status, ended_in, PATH) == stages


def test_a_stage_that_was_switched_off_is_not_offered() -> None:
    assert offered("failed", "evaluate", [s for s in PATH if s != "validate"]) == ("finetune", "evaluate")


def test_gates_are_judged_again_before_anything_ships() -> None:
    assert walked("deploy", PATH) == walked("compare", PATH) == ("trigger", "compare", "deploy", "monitor")
    assert walked("validate", PATH) == PATH


@pytest.mark.parametrize(
    ("left", "stage", "words"),
    [
        (replace(WHOLE, has_rows=None), "finetune", "froze no dataset. Re-run it from Validate"),
        (replace(WHOLE, has_rows=False), "finetune", "Start a new run"),
        (replace(WHOLE, has_files=None), "evaluate", "made no version. Re-run it from Fine-tune"),
        (replace(WHOLE, has_files=False), "deploy", "no longer in the store"),
        (replace(WHOLE, recipe_changed=True), "evaluate", "The recipe is another one"),
        (replace(WHOLE, has_rows=False), "compare", "Start a new run"),
        (replace(WHOLE, has_answers=None), "compare", "measured nothing. Re-run it from Evaluate"),
        (replace(WHOLE, has_answers=False), "deploy", "answers that run 7 measured are gone"),
        (replace(WHOLE, stale="Production is v3 now."), "deploy", "v3 now. Re-run it from Evaluate"),
    ],
)
def test_what_is_gone_is_said_with_the_stage_from_which_it_can_be_done(left: Left, stage: str, words: str) -> None:
    assert words in missing(left, stage)


def test_nothing_is_missing_where_a_later_stage_needs_it() -> None:
    for stage in STAGES:
        assert missing(WHOLE, stage) == ""
    assert missing(replace(WHOLE, has_rows=None, has_files=None, has_answers=None), "validate") == ""
    assert missing(replace(WHOLE, recipe_changed=True, has_answers=None), "finetune") == ""
    assert missing(replace(WHOLE, stale="Sets changed."), "evaluate") == ""
    assert missing(replace(WHOLE, is_prompt=True, recipe_changed=True, has_rows=None), "evaluate") == ""
