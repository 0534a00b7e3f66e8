"""What a person decides about rows that were set aside or wait for review. Each act can be taken back."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from pipelines.actions.batches import add_examples, look_soon
from pipelines.actions.refused import ActionRefused
from pipelines.domain.data_checks import RowProblem, parse_line
from pipelines.models import Example, ExampleState, RowChange, RowDecision
from pipelines.models.example import RELEASED
from pipelines.records.rows import facts_of
from pipelines.validation.traffic import novel_questions
from tenants.models import AuditEvent, EvalCase, Pipeline

SET_ASIDE = (ExampleState.QUARANTINED, ExampleState.LEFT_OUT, ExampleState.PARKED, ExampleState.REVIEW)
OPEN = (*SET_ASIDE, ExampleState.DISCARDED)
FACTS = ("messages", "label", "content_digest", "input_digest", "words", "language")
KEPT = ("state", "rule", "pointer", "detail", *FACTS, "judged_in_id", "dataset_id")
# What a run may set by itself without making the decision another one.
OF_RUNS = ("judged_in_id", "detail")
BATCH = 200


@dataclass(frozen=True)
class Order:
    """Who decides, and why."""

    actor: str
    reason: str
    now: datetime

    def __post_init__(self) -> None:
        if not self.reason.strip():
            raise ActionRefused(_("Say why: the reason is kept in the ledger."))


def release_rows(pipeline: Pipeline, *, ids: Sequence[int], actor: str, reason: str, now: datetime) -> int:
    """Rows that were set aside may train again; malformed ones and those of evaluation sets cannot."""
    rows = _open(pipeline, ids).exclude(content_digest="").exclude(rule="leakage")
    return _decide(pipeline, "release", rows, _release, Order(actor, reason, now))


def discard_rows(pipeline: Pipeline, *, ids: Sequence[int], actor: str, reason: str, now: datetime) -> int:
    """Rows that shall never train. Reversible by release, or by taking the decision back."""
    rows = _open(pipeline, ids).filter(state__in=SET_ASIDE)
    return _decide(pipeline, "discard", rows, _discard, Order(actor, reason, now))


def label_rows(pipeline: Pipeline, *, ids: Sequence[int], label: str, actor: str, reason: str, now: datetime) -> int:
    """The label becomes the answer of each row, and they may train. Only where answers are labels."""
    output = pipeline.settings.criteria.output
    if output.kind != "label" or label not in output.labels:
        raise ActionRefused(_("Choose one of the labels: %(labels)s.") % {"labels": ", ".join(output.labels) or "-"})
    rows = _open(pipeline, ids).exclude(content_digest="").exclude(rule="leakage")

    def change(row: Example) -> None:
        _rewrite(row, _line([*row.messages[:-1], row.messages[-1] | {"content": label}]), pipeline)

    return _decide(pipeline, "label", rows, change, Order(actor, reason, now))


def edit_row(pipeline: Pipeline, *, pk: int, line: bytes, actor: str, reason: str, now: datetime) -> int:
    """Another text for one row, a malformed one as well; it may train, and an evaluation case still keeps it out.

    `line` is a row as an upload holds it. Refuses with what is wrong about it.
    """
    rows = _open(pipeline, [pk])
    return _decide(pipeline, "edit", rows, lambda row: _rewrite(row, line, pipeline), Order(actor, reason, now))


@transaction.atomic
def undo_decision(pipeline: Pipeline, *, decision: int, actor: str, now: datetime) -> tuple[int, int]:
    """Every row is again what it was before. Returns (rows taken back, rows that changed or trained meanwhile)."""
    found = RowDecision.objects.select_for_update().filter(pipeline=pipeline, pk=decision).first()
    if found is None or found.undone_at is not None:
        raise ActionRefused(_("This decision was taken back already."))
    listed = found.changes.select_related("example").iterator(chunk_size=BATCH)
    changes = [change for change in listed if _is_as_decided(change.example, change.after)]
    for change in changes:
        for name, value in change.before.items():
            setattr(change.example, name, value)
    back, columns = [change.example for change in changes], {name for change in changes for name in change.before}
    if "dataset_id" in columns:
        _leave_to_evaluation(pipeline, back)
    _save(back, columns)
    found.undone_at, found.undone_by = now, actor
    found.save(update_fields=["undone_at", "undone_by"])
    detail = {"rows": len(back), "decision": found.pk, "verb": found.verb, "reason": found.reason}
    AuditEvent.append(pipeline, actor, "rows.undo", pipeline.slug, now, detail)
    look_soon(pipeline, now)
    return len(back), found.rows - len(back)


@transaction.atomic
def gather_novel(pipeline: Pipeline, *, actor: str, now: datetime, most: int = 50) -> int:
    """Unfamiliar questions of the kept traffic into the review queue, each with the answer that it got."""
    found = novel_questions(pipeline, most)
    if not found:
        return 0
    token = f"novel-{now:%Y%m%dT%H%M%S%f}"
    batch = add_examples(pipeline, [line for line, _why in found], token=token, actor=actor, now=now, source="traffic")
    rows = {row.line: row for row in Example.objects.filter(batch=batch, state=ExampleState.REVIEW)}
    for number, (_said, why) in enumerate(found, 1):
        if number in rows:
            rows[number].rule, rows[number].detail = "novel", why
    Example.objects.bulk_update(rows.values(), ["rule", "detail"], batch_size=BATCH)
    return len(rows)


def _open(pipeline: Pipeline, ids: Sequence[int]) -> QuerySet[Example]:
    return Example.objects.filter(pipeline=pipeline, pk__in=ids, state__in=OPEN)


def _release(row: Example) -> None:
    # A row that only waited for somebody to look at it has not been checked yet.
    row.state, row.rule = ExampleState.READY, "" if row.rule == "trust" else RELEASED
    row.judged_in_id = row.dataset_id = None


def _discard(row: Example) -> None:
    row.state = ExampleState.DISCARDED


def _rewrite(row: Example, line: bytes, pipeline: Pipeline) -> None:
    match parse_line(line):
        case RowProblem() as problem:
            words = {"where": problem.pointer or _("the row"), "why": problem.message}
            raise ActionRefused(_("It cannot train like this: %(where)s %(why)s.") % words)
        case parsed:
            for name, value in facts_of(parsed, pipeline.settings.criteria.output).items():
                setattr(row, name, value)
    row.pointer = ""
    _release(row)


def _line(messages: list[dict[str, str]]) -> bytes:
    return json.dumps({"messages": messages}).encode()


@transaction.atomic
def _decide(
    pipeline: Pipeline, verb: str, rows: QuerySet[Example], change: Callable[[Example], None], order: Order
) -> int:
    """Applies the change to each row and keeps what it was."""
    decision = RowDecision.of(pipeline, pipeline=pipeline, verb=verb, actor=order.actor, reason=order.reason[:500])
    decision.at = order.now
    decision.save()
    changed, kept = [], []
    for row in rows.select_for_update(of=("self",)).order_by("id"):
        before = _facts(row)
        change(row)
        if verb != "discard":
            row.detail = order.reason
        kept.append(_kept(decision, row, before))
        changed.append(row)
    _save(changed, {name for one in kept for name in one.after})
    RowChange.objects.bulk_create(kept, batch_size=BATCH)
    decision.rows = len(changed)
    decision.save(update_fields=["rows"])
    detail = {"rows": len(changed), "reason": order.reason, "decision": decision.pk}
    AuditEvent.append(pipeline, order.actor, f"rows.{verb}", pipeline.slug, order.now, detail)
    look_soon(pipeline, order.now)
    return len(changed)


def _leave_to_evaluation(pipeline: Pipeline, rows: Sequence[Example]) -> None:
    """No dataset takes a row that an evaluation set asks by now, not even one that held it before."""
    digests = [row.input_digest for row in rows]
    cases = EvalCase.objects.filter(eval_set__pipeline=pipeline, input_digest__in=digests)
    asked = set(cases.values_list("input_digest", flat=True))
    for row in rows:
        if row.input_digest in asked:
            row.dataset_id = None


def _save(rows: Sequence[Example], columns: Iterable[str]) -> None:
    """Only what changed: the database looks at whoever writes a dataset."""
    fields = [name.removesuffix("_id") for name in columns]
    if fields:
        Example.objects.bulk_update(rows, fields, batch_size=BATCH)


def _facts(row: Example) -> dict[str, Any]:
    return {name: getattr(row, name) for name in KEPT}


def _kept(decision: RowDecision, row: Example, before: dict[str, Any]) -> RowChange:
    """Only what changed."""
    after = {name: value for name, value in _facts(row).items() if value != before[name]}
    return RowChange.of(row, decision=decision, example=row, before=_only(before, after), after=after)


def _only(facts: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: facts[name] for name in names}


def _is_as_decided(row: Example, after: dict[str, Any]) -> bool:
    """Nobody and nothing changed it since, and it has not trained since."""
    same = all(getattr(row, name) == value for name, value in after.items() if name not in OF_RUNS)
    return same and ("dataset_id" in after or row.dataset_id is None or row.state != ExampleState.READY)
