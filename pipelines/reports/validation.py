"""What the data checks said of a run's new rows: counts by rule, labels then and now, some of the rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import Count

from pipelines.models import Example, Run, StageRun

SAMPLES_A_RULE = 4


@dataclass(frozen=True)
class LabelLine:
    """How often a label stands in the new rows and in the rows before."""

    label: str
    new: int
    existing: int


@dataclass(frozen=True)
class DataReport:
    """`counts`: (state, rule, rows). `rows`, `malformed`, `usable` are None until the checks have spoken."""

    rows: int | None
    malformed: int | None
    usable: int | None
    counts: tuple[tuple[str, str, int], ...]
    labels: tuple[LabelLine, ...]
    breaches: tuple[str, ...]
    samples: tuple[Example, ...]


def data_report(run: Run, stage: StageRun | None) -> DataReport:
    said: dict[str, Any] = (stage.notes or stage.output) if stage else {}
    marked = Example.objects.filter(judged_in=run).exclude(rule="")
    counts = list(marked.order_by().values_list("state", "rule").annotate(n=Count("id")).order_by("state", "rule"))
    shares: dict[str, Any] = said.get("distribution") or {}
    return DataReport(
        rows=said.get("rows"),
        malformed=said.get("malformed"),
        usable=said.get("usable"),
        counts=tuple((state, rule, n) for state, rule, n in counts),
        labels=_labels(shares),
        breaches=tuple(shares.get("breaches") or ()),
        samples=tuple(row for _, rule, _ in counts for row in marked.filter(rule=rule)[:SAMPLES_A_RULE]),
    )


def _labels(shares: dict[str, Any]) -> tuple[LabelLine, ...]:
    new, existing = shares.get("new") or {}, shares.get("existing") or {}
    lines = [LabelLine(name, new.get(name, 0), existing.get(name, 0)) for name in sorted(new.keys() | existing.keys())]
    return tuple(sorted(lines, key=lambda line: -line.new))
