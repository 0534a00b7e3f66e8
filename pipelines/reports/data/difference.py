"""What two datasets have apart: rows, labels, sources; read from their manifests side by side, never both whole."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pipelines.artifacts import ArtifactMissing, store_of
from pipelines.models import DatasetVersion, Example, Source
from pipelines.reports.data.overview import rows_by_source

SHOWN = 20


@dataclass(frozen=True)
class Listed:
    """One row of a manifest, by its content."""

    content: str
    input: str
    label: str
    row: int


@dataclass(frozen=True)
class Apart:
    """How often something stands in the dataset and in the other."""

    name: str
    now: int
    before: int

    @property
    def change(self) -> int:
        return self.now - self.before


@dataclass
class Difference:
    """`is_known` is false where a manifest is not kept. `relabelled`: (row, label before) of the same question."""

    is_known: bool = True
    added: int = 0
    removed: int = 0
    added_rows: list[Example] = field(default_factory=list)
    removed_rows: list[Example] = field(default_factory=list)
    relabelled: list[tuple[Example, str]] = field(default_factory=list)
    labels: tuple[Apart, ...] = ()
    sources: tuple[Apart, ...] = ()


def difference(dataset: DatasetVersion, other: DatasetVersion | None) -> Difference:
    found = Difference(labels=_labels(dataset, other), sources=_sources(dataset, other))
    try:
        added, removed = _apart(rows_of(dataset), rows_of(other) if other else iter(()))
    except ArtifactMissing:
        found.is_known = False
        return found
    found.added, found.removed = len(added), len(removed)
    found.added_rows, found.removed_rows = _examples(added[:SHOWN]), _examples(removed[:SHOWN])
    before = {row.input: row.label for row in removed}
    again = [row for row in added if row.input in before and row.label != before[row.input]][:SHOWN]
    examples = Example.objects.in_bulk([row.row for row in again])
    found.relabelled = [(examples[row.row], before[row.input]) for row in again if row.row in examples]
    return found


def rows_of(dataset: DatasetVersion) -> Iterator[Listed]:
    """The rows that a manifest lists, in order of their content."""
    if not dataset.manifest:
        raise ArtifactMissing("This dataset has no list of its rows.")
    with store_of(dataset.client_id).path(dataset.manifest).open("rb") as lines:
        next(lines)
        for line in lines:
            content, asked, label, _upload, row = json.loads(line)
            yield Listed(content, asked, label, row)


def _apart(mine: Iterator[Listed], theirs: Iterator[Listed]) -> tuple[list[Listed], list[Listed]]:
    """Rows that only one side has: both sides stand in order, so one walk along them is enough."""
    added: list[Listed] = []
    removed: list[Listed] = []
    one, two = next(mine, None), next(theirs, None)
    while one or two:
        if two is None or (one is not None and one.content < two.content):
            added.append(one)  # type: ignore[arg-type]
            one = next(mine, None)
        elif one is None or two.content < one.content:
            removed.append(two)
            two = next(theirs, None)
        else:
            one, two = next(mine, None), next(theirs, None)
    return added, removed


def _examples(rows: list[Listed]) -> list[Example]:
    found = Example.objects.select_related("batch").in_bulk([row.row for row in rows])
    return [found[row.row] for row in rows if row.row in found]


def _labels(dataset: DatasetVersion, other: DatasetVersion | None) -> tuple[Apart, ...]:
    now, before = dataset.labels, other.labels if other else {}
    lines = [Apart(name, now.get(name, 0), before.get(name, 0)) for name in sorted({*now, *before})]
    return tuple(sorted(lines, key=lambda line: (-abs(line.change), line.name)))


def _sources(dataset: DatasetVersion, other: DatasetVersion | None) -> tuple[Apart, ...]:
    now, before = rows_by_source(dataset), rows_by_source(other) if other else {}
    names: dict[Any, str] = dict(Source.objects.filter(pk__in={*now, *before}).values_list("pk", "name"))
    return tuple(Apart(name, now.get(pk, 0), before.get(pk, 0)) for pk, name in sorted(names.items()))
