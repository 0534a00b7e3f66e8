"""The new rows of one run, and the marks they get."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from django.db.models import QuerySet

from pipelines.domain.data_checks import Example as Parsed
from pipelines.domain.data_checks import Layout
from pipelines.models import Example, ExampleState, Run
from pipelines.models.example import RELEASED

SAMPLES = 5


@dataclass
class NewRows:
    """Rows under judgement in order of arrival. A row is marked once, by the first rule that it breaks."""

    rows: list[Example]
    marked: list[Example] = field(default_factory=list)
    masked: list[Example] = field(default_factory=list)

    def mark(self, row: Example, state: ExampleState, rule: str, detail: str, twin: int | None = None) -> None:
        if row.rule == RELEASED and rule not in ("leakage", "duplicate"):
            return  # A person has looked at it and said that it may train.
        row.state, row.rule, row.detail, row.twin_id = state, rule, detail, twin
        self.marked.append(row)

    @property
    def left(self) -> list[Example]:
        return [row for row in self.rows if row.state == ExampleState.READY]

    def counts(self) -> dict[str, int]:
        return dict(Counter(row.rule for row in self.marked))

    def samples(self) -> dict[str, list[dict[str, object]]]:
        """A few rows per rule, for the report and the mail; the rest is on the quarantine page."""
        found: dict[str, list[dict[str, object]]] = {}
        for row in self.marked:
            shown = found.setdefault(row.rule, [])
            if len(shown) < SAMPLES:
                shown.append({"id": row.pk, "line": row.line, "pointer": row.pointer, "detail": row.detail})
        return found


def unjudged(run: Run) -> QuerySet[Example]:
    """Rows of finished uploads that no run has judged yet, or that this one began to judge."""
    rows = Example.objects.filter(pipeline_id=run.pipeline_id, batch__is_complete=True, dataset__isnull=True)
    return rows.filter(judged_in__isnull=True) | rows.filter(judged_in=run)


def existing(run: Run) -> QuerySet[Example]:
    """Rows that train already."""
    rows = Example.objects.filter(pipeline_id=run.pipeline_id, state=ExampleState.READY, dataset__isnull=False)
    return rows.exclude(dataset__run=run)


def parsed(row: Example) -> Parsed:
    """The row as the pure checks read it."""
    return Parsed(Layout.CHAT, tuple((m["role"], m["content"]) for m in row.messages))


def said_by_user(messages: Iterable[dict[str, str]]) -> str:
    return "\n".join(m["content"] for m in messages if m["role"] == "user")
