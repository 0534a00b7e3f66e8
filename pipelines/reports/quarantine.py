"""Rows that wait for a person, with the rule they broke and the row they collide with."""

from __future__ import annotations

from django.db.models import Count, QuerySet

from pipelines.models import Example, ExampleState
from tenants.models import Pipeline

HELD_BACK = (ExampleState.QUARANTINED, ExampleState.PARKED, ExampleState.LEFT_OUT)


def rows_held_back(pipeline: Pipeline, rule: str = "", state: str = "") -> QuerySet[Example]:
    rows = Example.objects.filter(pipeline=pipeline, state__in=HELD_BACK).select_related("batch", "twin__batch")
    chosen = {"rule": rule, "state": state}
    return rows.filter(**{name: value for name, value in chosen.items() if value}).order_by("id")


def rules(pipeline: Pipeline) -> list[tuple[str, str, int]]:
    """(state, rule, count) of everything held back."""
    rows = Example.objects.filter(pipeline=pipeline, state__in=HELD_BACK).order_by()
    return list(rows.values_list("state", "rule").annotate(n=Count("id")).order_by("state", "rule"))
