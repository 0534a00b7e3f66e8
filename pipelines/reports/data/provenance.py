"""Which versions learnt from an upload or a source, and the last one that did not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pipelines.domain.transitions import LIVE_RUNS
from pipelines.models import Batch, DatasetVersion, ModelVersion, PipelineState, Run, Source


@dataclass(frozen=True)
class Learnt:
    """A version and how many of its rows came from there."""

    version: ModelVersion
    rows: int
    is_production: bool


@dataclass(frozen=True)
class Provenance:
    """`learnt`: newest first. `last_clean`: the newest version that was in production once and learnt nothing of it.
    `live_run` is training on it now.
    """

    learnt: tuple[Learnt, ...]
    last_clean: ModelVersion | None
    live_run: Run | None


def provenance(what: Batch | Source) -> Provenance:
    ids = {str(what.pk)} if isinstance(what, Batch) else {str(pk) for pk in what.batches.values_list("pk", flat=True)}
    state = PipelineState.objects.filter(pipeline_id=what.pipeline_id).first()
    production = state.production_id if state else None
    versions = list(ModelVersion.objects.filter(pipeline_id=what.pipeline_id).select_related("dataset"))
    counted = [(version, rows_of(version.dataset, ids)) for version in versions]
    clean = (v for v, rows in counted if not rows and v.promoted_at is not None and v.status != "rolled_back")
    learnt = tuple(Learnt(v, rows, v.pk == production) for v, rows in counted if rows)
    return Provenance(learnt, next(clean, None), _live_run(what.pipeline_id, ids))


def rows_of(dataset: DatasetVersion | None, batches: Iterable[str]) -> int:
    """How many rows of a dataset came by these uploads."""
    held = dataset.batches if dataset else {}
    return sum(held.get(batch, 0) for batch in batches)


def _live_run(pipeline_id: int, ids: set[str]) -> Run | None:
    live = DatasetVersion.objects.filter(pipeline_id=pipeline_id, run__status__in=LIVE_RUNS).select_related("run")
    return next((dataset.run for dataset in live if rows_of(dataset, ids)), None)
