"""Writes that people, keys and triggers order. Each is audited, in one transaction, inside the client's scope."""

from pipelines.actions.again import rerun_from
from pipelines.actions.batches import add_examples
from pipelines.actions.eval_sets import Change, change_set, put_set
from pipelines.actions.feedback import give_feedback, vote
from pipelines.actions.pausing import pause, resume
from pipelines.actions.refused import ActionRefused
from pipelines.actions.rows import discard_rows, edit_row, gather_novel, label_rows, release_rows, undo_decision
from pipelines.actions.runs import (
    acknowledge,
    approve,
    cancel,
    create_run,
    measure_hops,
    read_prompt,
    reject,
    start_prompt_run,
    start_run,
)
from pipelines.actions.shipping import (
    abort_rollout,
    pause_rollout,
    promote_rollout,
    resume_rollout,
    roll_back,
    start_drill,
)
from pipelines.actions.waivers import waive_gate, withdraw_waiver, withdrawn_words

__all__ = [
    "ActionRefused",
    "Change",
    "abort_rollout",
    "acknowledge",
    "add_examples",
    "approve",
    "cancel",
    "change_set",
    "create_run",
    "discard_rows",
    "edit_row",
    "gather_novel",
    "give_feedback",
    "label_rows",
    "measure_hops",
    "pause",
    "pause_rollout",
    "promote_rollout",
    "put_set",
    "read_prompt",
    "reject",
    "release_rows",
    "rerun_from",
    "resume",
    "resume_rollout",
    "roll_back",
    "start_drill",
    "start_prompt_run",
    "start_run",
    "undo_decision",
    "vote",
    "waive_gate",
    "withdraw_waiver",
    "withdrawn_words",
]
