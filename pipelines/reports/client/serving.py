"""What answered for a pipeline, and since when: by promotions and by rollbacks that moved the traffic."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import QuerySet, Window
from django.db.models.functions import RowNumber

from pipelines.models import ModelVersion, Rollback
from tenants.models import Pipeline


@dataclass(frozen=True)
class Served:
    """`since`: its promotion, or the last rollback to it."""

    version: ModelVersion
    since: datetime


def served_at(pipelines: Sequence[Pipeline], end: datetime) -> dict[int, Served]:
    """{pipeline: what was in service just before `end`}; a pipeline that had nothing by then is not in it."""
    promoted = ModelVersion.objects.filter(pipeline__in=pipelines, promoted_at__lt=end)
    # Beside a canary production goes on answering: its rollback puts nothing into service.
    backs = Rollback.objects.filter(pipeline__in=pipelines, flipped_at__lt=end, to_version__isnull=False)
    backs = backs.filter(from_version__promoted_at__isnull=False)
    rows = [Served(row, row.promoted_at) for row in _last(promoted, "promoted_at").select_related("dataset", "run")]
    related = ("to_version__dataset", "to_version__run")
    rows += [Served(row.target, row.flipped_at) for row in _last(backs, "flipped_at").select_related(*related)]
    return {one.version.pipeline_id: one for one in sorted(rows, key=lambda one: one.since)}


def _last(rows: QuerySet[Any], at: str) -> QuerySet[Any]:
    """The last one of each pipeline."""
    place = Window(RowNumber(), partition_by="pipeline", order_by=(f"-{at}", "-id"))
    return rows.annotate(place=place).filter(place=1)


def taken_back(versions: Iterable[ModelVersion], end: datetime) -> dict[int, datetime]:
    """{version: when it was last taken back before `end`}."""
    rows = Rollback.objects.filter(from_version__in=versions, flipped_at__lt=end).order_by("flipped_at")
    return dict(rows.values_list("from_version", "flipped_at"))
