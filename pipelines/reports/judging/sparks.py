"""The trend of a pipeline in the width of a cell: its first metric over the versions that were in production."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import F, Window
from django.db.models.functions import RowNumber

from pipelines.models import Scorecard
from tenants.models import Pipeline
from tenants.pipeline_settings import Criteria

SHOWN = 8
WIDTH, HEIGHT, MARGIN = 64.0, 18.0, 2.0


@dataclass(frozen=True)
class Spark:
    """`values` oldest first; `path` joins them in a picture of 64 x 18."""

    metric: str
    values: tuple[float, ...]

    @property
    def last(self) -> float:
        return self.values[-1]

    @property
    def change(self) -> float | None:
        """Against the version before; None for the first."""
        return self.values[-1] - self.values[-2] if len(self.values) > 1 else None

    @property
    def path(self) -> str:
        low, high = min(self.values), max(self.values)
        step = (WIDTH - 2 * MARGIN) / max(len(self.values) - 1, 1)
        span = (HEIGHT - 2 * MARGIN) / ((high - low) or 1.0)
        points = ((MARGIN + n * step, HEIGHT - MARGIN - (value - low) * span) for n, value in enumerate(self.values))
        return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def sparks(pipelines: Iterable[Pipeline]) -> dict[int, Spark]:
    """{pipeline's id: its spark} where a promoted version was measured by the first metric; one query."""
    first = dict(filter(None, (_first_metric(row) for row in pipelines)))
    age = Window(RowNumber(), partition_by=F("version__pipeline"), order_by=F("version__number").desc())
    cards = Scorecard.objects.filter(version__pipeline__in=first, version__promoted_at__isnull=False)
    cards = cards.annotate(age=age).filter(age__lte=SHOWN).order_by("version__number")
    found: dict[int, list[float]] = {}
    for pipeline, metrics in cards.values_list("version__pipeline", "metrics"):
        value = metrics.get(first[pipeline], {}).get("candidate")
        if value is not None:
            found.setdefault(pipeline, []).append(float(value))
    return {pk: Spark(first[pk], tuple(values)) for pk, values in found.items()}


def _first_metric(pipeline: Pipeline) -> tuple[int, str] | None:
    """Only the criteria are read: to check whole settings, line by line, takes longer than all the page's queries."""
    body = pipeline.revision.body if pipeline.revision else {}
    metrics = Criteria.model_validate(body.get("criteria", {})).metrics
    return (pipeline.pk, metrics[0]) if metrics else None
