"""Sources with what became of their rows, and the datasets that were frozen."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from django.db.models import Count

from pipelines.models import DatasetVersion, Example, ExampleState, ModelVersion, Source
from tenants.models import Pipeline


@dataclass(frozen=True)
class SourceLine:
    """`share`: the part of the newest dataset that is of this source, None where there is no dataset."""

    source: Source
    by_state: dict[str, int]
    share: float | None

    @property
    def rows(self) -> int:
        return sum(self.by_state.values())

    @property
    def waiting(self) -> int:
        return self.by_state.get(ExampleState.REVIEW, 0)


def source_lines(pipeline: Pipeline) -> tuple[SourceLine, ...]:
    counts: dict[int, dict[str, int]] = defaultdict(dict)
    rows = Example.objects.filter(pipeline=pipeline, batch__origin__isnull=False).order_by()
    for origin, state, n in rows.values_list("batch__origin", "state").annotate(n=Count("pk")):
        counts[origin][state] = n
    newest = DatasetVersion.objects.filter(pipeline=pipeline).order_by("-id").first()
    held = rows_by_source(newest) if newest else {}
    total = newest.rows_total if newest else 0
    return tuple(
        SourceLine(source, counts[source.pk], held.get(source.pk, 0) / total if total else None)
        for source in Source.objects.filter(pipeline=pipeline)
    )


def rows_by_source(dataset: DatasetVersion) -> dict[int, int]:
    """{source id: rows}. An upload from before there were sources has none."""
    found: dict[int, int] = defaultdict(int)
    ids = [int(pk) for pk in dataset.batches]
    for source in Source.objects.filter(pipeline_id=dataset.pipeline_id, batches__in=ids).distinct():
        mine = source.batches.filter(pk__in=ids).values_list("pk", flat=True)
        found[source.pk] = sum(dataset.batches[str(pk)] for pk in mine)
    return dict(found)


@dataclass(frozen=True)
class DatasetLine:
    dataset: DatasetVersion
    version: ModelVersion | None


def datasets(pipeline: Pipeline) -> tuple[DatasetLine, ...]:
    """Newest first, each with the version that learnt from it."""
    versions = {version.dataset_id: version for version in ModelVersion.objects.filter(pipeline=pipeline)}
    rows = DatasetVersion.objects.filter(pipeline=pipeline).select_related("run").order_by("-id")
    return tuple(DatasetLine(row, versions.get(row.pk)) for row in rows)
