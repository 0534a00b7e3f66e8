"""All checks over the new rows of a run, in one transaction: marks on the rows, and a report of what was found."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from pipelines.domain.data_checks import (
    DistributionLimits,
    OutputFormat,
    QualitySettings,
    compare_labels,
    score_quality,
)
from pipelines.models import Example, ExampleState, PipelineState, Run, StageRun
from pipelines.validation.batch import NewRows, existing, parsed, unjudged
from pipelines.validation.duplicates import mark_duplicates
from pipelines.validation.neighbours import mark_leakage, mark_near_duplicates
from tenants.pipeline_settings import PipelineSettings

MARKS = ["state", "rule", "detail", "twin", "judged_in"]


@transaction.atomic
def judge_rows(run: Run, settings: PipelineSettings, row: StageRun, now: datetime) -> dict[str, Any]:
    """The report: {rows, malformed, usable, rules, samples, labels, distribution}.

    Kept in the stage's notes with the marks.
    """
    batch = unjudged(run)
    malformed = list(batch.filter(state=ExampleState.QUARANTINED, content_digest="").order_by("id"))
    new = NewRows(list(batch.filter(state=ExampleState.READY).order_by("id")))
    total = len(malformed) + len(new.rows)
    mark_duplicates(run, new)
    mark_leakage(run, new, settings.data.near_duplicate_jaccard)
    mark_near_duplicates(run, new, settings.data.near_duplicate_jaccard)
    _mark_quality(new, settings)
    _keep(run, [*malformed, *new.rows])
    broken = NewRows(malformed, list(malformed))
    report = {
        "rows": total,
        "malformed": len(malformed),
        "usable": len(new.left),
        "rules": broken.counts() | new.counts(),
        "samples": broken.samples() | new.samples(),
        "distribution": _distribution(run, new, settings),
    }
    row.notes = report
    row.save(update_fields=["notes"])
    return report


def _keep(run: Run, rows: list[Example]) -> None:
    for row in rows:
        row.judged_in = run
    Example.objects.bulk_update(rows, MARKS, batch_size=200)


def _mark_quality(new: NewRows, settings: PipelineSettings) -> None:
    output = settings.criteria.output
    judge = QualitySettings(
        threshold=settings.data.min_quality,
        format=OutputFormat(output.kind),
        labels=frozenset(output.labels),
        json_fields=frozenset(output.fields),
    )
    for row in new.left:
        score = score_quality(parsed(row), judge)
        if score.score < judge.threshold:
            parts = ", ".join(f"{name} {value:.2f}" for name, value in score.parts.items())
            detail = _("Quality %(score)s (%(parts)s).") % {"score": f"{score.score:.2f}", "parts": parts}
            new.mark(row, ExampleState.LEFT_OUT, "quality", detail)


def _distribution(run: Run, new: NewRows, settings: PipelineSettings) -> dict[str, Any]:
    fresh = Counter(row.label for row in new.left if row.label)
    known = Counter(existing(run).exclude(label="").values_list("label", flat=True))
    is_first = not PipelineState.objects.filter(pipeline_id=run.pipeline_id, production__isnull=False).exists()
    limits = DistributionLimits(variation=settings.data.max_label_shift, one_label=settings.data.max_label_share)
    found = compare_labels(fresh, known, limits, is_first_version=is_first)
    shown = {"new": dict(fresh), "existing": dict(known), "breaches": list(found.breaches)}
    return shown | {"variation": found.variation, "p": found.p}
