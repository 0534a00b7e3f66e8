"""Writes that people, keys and triggers order. Each is audited, in one transaction, inside the client's scope."""

from pipelines.actions.feedback import give_feedback
from pipelines.actions.refused import ActionRefused
from pipelines.actions.rows import add_examples, discard_rows, release_rows
from pipelines.actions.runs import approve, cancel, create_run, reject, start_run
from pipelines.actions.shipping import roll_back

__all__ = [
    "ActionRefused",
    "add_examples",
    "approve",
    "cancel",
    "create_run",
    "discard_rows",
    "give_feedback",
    "reject",
    "release_rows",
    "roll_back",
    "start_run",
]
