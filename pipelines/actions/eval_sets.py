"""Evaluation sets as people change them: every change is a new version, made from the one that they saw."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from pipelines.actions.refused import ActionRefused
from pipelines.domain.dataset import draw
from pipelines.models import Example, ExampleState
from pipelines.records.cases import MAX_CASES, CaseRefused, read_case, refuse_strange_labels, refuse_twins
from pipelines.validation.leakage import quarantine_twins
from tenants import actions as ground
from tenants.models import AuditEvent, EvalSet, Pipeline
from tenants.models.eval_set import EvalKind
from tenants.pipeline_settings import OutputFormat

CHUNK = 500


@dataclass(frozen=True)
class Change:
    """`base` is the version that the person saw, 0 where there was none. A case in `put` replaces its namesake."""

    base: int
    put: Sequence[dict[str, Any]] = ()
    remove: Sequence[str] = ()


def newest(pipeline: Pipeline, kind: str) -> EvalSet | None:
    return EvalSet.objects.filter(pipeline=pipeline, kind=kind).order_by("-version").first()


@transaction.atomic
def change_set(pipeline: Pipeline, kind: str, change: Change, *, actor: str, note: str, now: datetime) -> EvalSet:
    """A new version with the change; refused where somebody else was faster, or where a case cannot be taken."""
    Pipeline.objects.select_for_update().get(pk=pipeline.pk)
    last = newest(pipeline, kind)
    if (last.version if last else 0) != change.base:
        raise ActionRefused(_("Somebody changed this set meanwhile. Look at the newest version, then change it again."))
    cases = {case.key: case.as_stored() for case in last.cases.order_by("id")} if last else {}
    unknown = [key for key in change.remove if key not in cases]
    if unknown:
        raise ActionRefused(_("There is no case “%(id)s” in this set.") % {"id": unknown[0]})
    for key in change.remove:
        del cases[key]
    for case in change.put:
        cases[case["id"]] = case
    return put_set(pipeline, kind, list(cases.values()), actor=actor, note=note, now=now)


@transaction.atomic
def put_set(
    pipeline: Pipeline, kind: str, cases: Sequence[dict[str, Any]], *, actor: str, note: str, now: datetime
) -> EvalSet:
    """A new version that holds exactly these cases. An empty one is allowed: its gate then answers inconclusive.

    Rows that ask what a new case asks leave the training data at once.
    """
    if len(cases) > MAX_CASES:
        raise ActionRefused(_("A set holds at most %(top)s cases.") % {"top": MAX_CASES})
    try:
        known = _known_ids(pipeline, kind)
        checked = [read_case(case, kind, _("Case %(id)s") % {"id": case.get("id", "?")}, known) for case in cases]
        refuse_twins(checked)
        refuse_strange_labels(checked, pipeline.settings.criteria.output)
    except CaseRefused as refused:
        raise ActionRefused(str(refused)) from refused
    made = ground.put_eval_set(pipeline, kind, checked, actor, now, note)
    gone = quarantine_twins(made, pipeline.settings.data.near_duplicate_jaccard)
    if gone:
        detail = {"rows": gone, "rule": "leakage", "set": f"{kind} {made.version}"}
        AuditEvent.append(pipeline, actor, "rows.quarantine", pipeline.slug, now, detail)
    return made


def _known_ids(pipeline: Pipeline, kind: str) -> frozenset[str]:
    last = newest(pipeline, kind)
    return frozenset(last.cases.values_list("key", flat=True) if last else ())


@transaction.atomic
def hold_out(pipeline: Pipeline, *, share: float, seed: int, actor: str, now: datetime) -> EvalSet:
    """Part of the rows that never trained, drawn by label, become cases of the held-out set and never train."""
    ready = Example.objects.filter(pipeline=pipeline, state=ExampleState.READY, dataset__isnull=True)
    drawn = draw(dict(ready.values_list("content_digest", "label")), share, seed)
    rows = {row.content_digest: row for row in ready.iterator() if row.content_digest in drawn}
    if not rows:
        raise ActionRefused(_("Of these rows nothing would be drawn. Add rows, or hold out a larger part."))
    output = pipeline.settings.criteria.output
    cases = [_case_of(row, output) for _digest, row in sorted(rows.items())]
    ids = [row.pk for row in rows.values()]
    for start in range(0, len(ids), CHUNK):
        Example.objects.filter(pk__in=ids[start : start + CHUNK]).update(state=ExampleState.EVALUATION, rule="held_out")
    last = newest(pipeline, EvalKind.HELDOUT)
    note = _("%(n)s rows held out by label, seed %(seed)s") % {"n": len(cases), "seed": seed}
    change = Change(last.version if last else 0, cases)
    return change_set(pipeline, EvalKind.HELDOUT, change, actor=actor, note=note, now=now)


def _case_of(row: Example, output: OutputFormat) -> dict[str, Any]:
    case = {"id": f"held-{row.content_digest[:16]}", "messages": row.messages[:-1]}
    answer = row.messages[-1]["content"]
    match output.kind:
        case "label":
            return case | {"check": "label", "expected": {"label": answer.strip(), "labels": list(output.labels)}}
        case "json":
            return case | {"check": "json_fields", "expected": {"fields": _fields(answer)}}
        case _:
            raise ActionRefused(_("Free text has no one right answer. Upload a set whose cases say how to check it."))


def _fields(answer: str) -> dict[str, Any]:
    try:
        value = json.loads(answer)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise ActionRefused(_("Some answers are no JSON objects. Let the checks look at the rows first."))
    return value
