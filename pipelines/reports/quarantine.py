"""Rows that wait for a person, with the rule they broke and the row they collide with; and what people decided."""

from __future__ import annotations

import json
from dataclasses import dataclass

from django.db.models import Count, Q, QuerySet, TextField
from django.db.models.functions import Cast

from pipelines.models import Example, ExampleState, RowDecision
from tenants.models import Pipeline

MAX_DIGITS = 9  # Of a run's number.
HELD_BACK = (ExampleState.QUARANTINED, ExampleState.PARKED, ExampleState.LEFT_OUT)
# Duplicates and discarded rows wait for nobody, so they are listed only when they are asked for.
NAMED = (*HELD_BACK, ExampleState.DUPLICATE, ExampleState.DISCARDED)
REVIEW = (ExampleState.REVIEW,)
LATEST = 8


@dataclass(frozen=True)
class Wanted:
    """Which rows: any of them empty means all. `text` is looked for in what is said, in the raw line and the label."""

    rule: str = ""
    state: str = ""
    source: str = ""
    run: str = ""
    text: str = ""


def rows_held_back(pipeline: Pipeline, wanted: Wanted) -> QuerySet[Example]:
    narrow = wanted.rule or wanted.state
    return _chosen(Example.objects.filter(pipeline=pipeline, state__in=NAMED if narrow else HELD_BACK), wanted)


def rows_to_review(pipeline: Pipeline, wanted: Wanted) -> QuerySet[Example]:
    return _chosen(Example.objects.filter(pipeline=pipeline, state__in=REVIEW), wanted)


def _chosen(rows: QuerySet[Example], wanted: Wanted) -> QuerySet[Example]:
    chosen = {
        "rule": wanted.rule,
        "state": wanted.state,
        "batch__source": wanted.source,
        "judged_in__number": wanted.run if wanted.run.isdecimal() and len(wanted.run) <= MAX_DIGITS else "",
    }
    rows = rows.filter(**{name: value for name, value in chosen.items() if value != ""})
    if wanted.text:
        # One database keeps JSON as it is, the other with escapes.
        escaped = json.dumps(wanted.text)[1:-1]
        rows = rows.annotate(said=Cast("messages", TextField())).filter(
            Q(said__icontains=wanted.text)
            | Q(said__icontains=escaped)
            | Q(raw__icontains=wanted.text)
            | Q(label__icontains=wanted.text)
        )
    return rows.select_related("batch", "twin__batch", "judged_in").order_by("id")


def rules(pipeline: Pipeline, states: tuple[ExampleState, ...] = NAMED) -> list[tuple[str, str, int]]:
    """(state, rule, count) of everything that a check or a run set aside."""
    rows = Example.objects.filter(pipeline=pipeline, state__in=states).order_by()
    return list(rows.values_list("state", "rule").annotate(n=Count("id")).order_by("state", "rule"))


def sources(pipeline: Pipeline, states: tuple[ExampleState, ...] = NAMED) -> list[str]:
    rows = Example.objects.filter(pipeline=pipeline, state__in=states).order_by("batch__source")
    return list(rows.values_list("batch__source", flat=True).distinct()[:50])


def decisions(pipeline: Pipeline) -> list[RowDecision]:
    """The latest, to be looked at or taken back."""
    return list(RowDecision.objects.filter(pipeline=pipeline, rows__gt=0)[:LATEST])
