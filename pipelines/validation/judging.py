"""All checks over the new rows of a run: marks on the rows, and a report of what was found."""

from __future__ import annotations

from datetime import datetime
from itertools import groupby
from typing import Any

from django.db import transaction

from pipelines.engine.kernel import check_own
from pipelines.models import Example, ExampleState, Run, SignatureBlock, StageRun
from pipelines.validation.batch import NewRows, unjudged
from pipelines.validation.duplicates import mark_duplicates
from pipelines.validation.leakage import mark_leakage
from pipelines.validation.neighbours import mark_near_duplicates
from pipelines.validation.quality import mark_novel, mark_quality
from pipelines.validation.secrets import MASKED, mask_secrets
from pipelines.validation.shifts import distribution
from pipelines.validation.signatures import chunks
from tenants.pipeline_settings import PipelineSettings

MARKS = ["state", "rule", "pointer", "detail", "twin", "judged_in"]
CHUNK = 1_000
Seen = dict[int, tuple[str, str]]


class RowsChanged(RuntimeError):
    """A person changed rows while they were judged: they are judged again."""


def judge_rows(run: Run, settings: PipelineSettings, row: StageRun, now: datetime) -> dict[str, Any]:
    """The report: {rows, malformed, usable, masked, rules, samples, distribution}. Kept with the marks, in the notes.

    All that takes long only reads; what was found is then written at once. SQLite has one writer: nobody else's act
    waits for minutes.
    """
    batch = unjudged(run)
    malformed = list(batch.filter(state=ExampleState.QUARANTINED, content_digest="").order_by("id"))
    new = NewRows(list(batch.filter(state=ExampleState.READY).order_by("id")))
    seen = {row.pk: (row.state, row.content_digest) for row in (*malformed, *new.rows)}
    blocks, shares = _judge(run, new, settings)
    broken = NewRows(malformed, list(malformed))
    report = {
        "rows": len(seen),
        "malformed": len(malformed),
        "usable": len(new.left),
        "masked": len(new.masked),
        "rules": broken.counts() | new.counts(),
        "samples": broken.samples() | new.samples(),
        "distribution": shares,
    }
    with transaction.atomic():
        _refuse_changed(seen)
        SignatureBlock.objects.bulk_create(blocks)
        _keep(run, [*malformed, *new.rows], new)
        row.notes = report
        row.save(update_fields=["notes"])
        check_own(run)
    return report


def _judge(run: Run, new: NewRows, settings: PipelineSettings) -> tuple[list[SignatureBlock], dict[str, Any]]:
    """Marks the rows in memory; gives their signatures and how they are distributed."""
    mask_secrets(new, settings.data)
    mark_duplicates(run, new)
    mark_leakage(run, new, settings.data.near_duplicate_jaccard)
    blocks = mark_near_duplicates(run, new, settings.data.near_duplicate_jaccard)
    mark_quality(new, settings)
    # Rows in another language are unlike every category, and still a shift: counted before they wait for review.
    shares = distribution(run, new, settings.data)
    mark_novel(run, new, settings.data.novel_below)
    return blocks, shares


def _refuse_changed(seen: Seen) -> None:
    for chunk in chunks(list(seen), CHUNK):
        rows = Example.objects.filter(pk__in=chunk).select_for_update().values_list("pk", "state", "content_digest")
        if {pk: (state, digest) for pk, state, digest in rows} != {pk: seen[pk] for pk in chunk}:
            raise RowsChanged("rows were changed while they were judged")


def _keep(run: Run, rows: list[Example], new: NewRows) -> None:
    """Few rows are marked: the others need one write for many."""
    for signature, some in groupby(sorted(rows, key=_signature), key=_signature):
        for chunk in chunks([row.pk for row in some], CHUNK):
            Example.objects.filter(pk__in=chunk).update(judged_in=run, signature=signature)
    for row in new.marked:
        row.judged_in = run
    Example.objects.bulk_update(new.masked, MASKED, batch_size=200)
    Example.objects.bulk_update(new.marked, MARKS, batch_size=200)


def _signature(row: Example) -> int:
    return row.signature
