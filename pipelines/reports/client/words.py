"""The ledger in a client's words and language.

The reasons that staff read may name people and hosts: they stay inside.
"""

from __future__ import annotations

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from pipelines.models import GateResult, Rollback, Scorecard

TESTS: dict[str, Promise] = {
    "task": gettext_lazy("Quality"),
    "regression": gettext_lazy("Cases that must not break"),
    "safety": gettext_lazy("Safety"),
    "latency": gettext_lazy("Speed"),
    "size": gettext_lazy("Size"),
}
PASSED: dict[str, Promise] = {
    "task": gettext_lazy("It answers your test questions as well as the version before it, or better."),
    "regression": gettext_lazy("Every case that you rely on was answered right."),
    "safety": gettext_lazy("It passed every safety question."),
    "latency": gettext_lazy("It answers as quickly as the version before it."),
    "size": gettext_lazy("It needs about as much room as the version before it."),
}
METRICS: dict[str, Promise] = {
    "accuracy": gettext_lazy("right answers"),
    "f1_macro": gettext_lazy("right answers, each category counting alike"),
    "f1_micro": gettext_lazy("right answers over all categories"),
    "f1_weighted": gettext_lazy("right answers over all categories"),
    "exact_match": gettext_lazy("answers that match word by word"),
    "normalised_match": gettext_lazy("answers that match"),
    "json_schema": gettext_lazy("answers in the right form"),
    "json_fields": gettext_lazy("fields filled in right"),
    "numeric": gettext_lazy("numbers that are right"),
    "judge": gettext_lazy("preferred by a judge"),
}
METRICS |= {
    name: gettext_lazy("likeness to the wanted answers") for name in ("rouge1", "rouge2", "rougeL", "bleu", "chrf")
}
WENT_WRONG: dict[str, Promise] = {
    "error": gettext_lazy("More of its answers failed than those of the version before it."),
    "slow": gettext_lazy("It answered more slowly than the version before it."),
    "bad": gettext_lazy("More of its answers were unusable than those of the version before it."),
}
RUNS: dict[str, Promise] = {
    "succeeded": gettext_lazy("It went into service."),
    "skipped": gettext_lazy("There was too little new data; nothing changed."),
    "stopped": gettext_lazy("The new data did not pass its checks; nothing changed."),
    "rejected": gettext_lazy("It was not shown to be as good as what you have; nothing changed."),
    "rolled_back": gettext_lazy("It fell behind in use and was taken back; the version before it is in service."),
    "failed": gettext_lazy("It could not be finished; nothing changed."),
    "cancelled": gettext_lazy("It was called off; nothing changed."),
    "held": gettext_lazy("Your agency is looking at it."),
}


def run_words(status: str) -> str:
    """What the end, or the pause, of a run means to a client."""
    return str(RUNS.get(status, gettext_lazy("It is under way.")))


def test_name(gate: GateResult) -> str:
    return str(TESTS.get(gate.kind, TESTS["task"]))


def test_words(gate: GateResult, card: Scorecard | None) -> str:
    """What was tested and what came out, without the questions. Only a passed test is called passed."""
    if gate.verdict == "passed":
        return " ".join(filter(None, [str(PASSED.get(gate.kind, PASSED["task"])), _counted(gate, card)]))
    if gate.is_waived:
        return _("It did not pass; your agency looked at it and decided that the version may go on.")
    if gate.effect != "block" or gate.is_shadow:
        return _("It did not pass, and it does not decide by itself.")
    return _("It could not be shown.") if gate.verdict in ("inconclusive", "error") else _("It did not pass.")


def _counted(gate: GateResult, card: Scorecard | None) -> str:
    """On how many cases, where the scorecard says so."""
    kind = {"task": "heldout"}.get(gate.kind, gate.kind)
    facts = card.cases.get(kind) if card else None
    n = int(facts.get("n") or 0) if isinstance(facts, dict) else 0
    return ngettext("%(n)s question was asked.", "%(n)s questions were asked.", n) % {"n": n} if n else ""


def metric_name(name: str) -> str:
    return str(METRICS.get(name, name))


def why_taken_back(rollback: Rollback) -> str:
    """By what it was seen; the words of a person stay inside."""
    if rollback.phase == "person":
        return _("Your agency took it back.")
    return str(WENT_WRONG.get(rollback.metric, gettext_lazy("It did not do as well in use as in its tests.")))


def phase_words(rollback: Rollback) -> str:
    words = {
        "canary": _("while it answered a part of the traffic"),
        "monitor": _("while it was watched after going live"),
    }
    return words.get(rollback.phase, "")
