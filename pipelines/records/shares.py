"""Sources that may only be a part of a training set: what is too much of one is left out, until there is more else."""

from __future__ import annotations

from django.db.models import Count, QuerySet
from django.utils.translation import gettext as _

from pipelines.domain.dataset import keep
from pipelines.models import Example, ExampleState, Run, Source, StageRun

RULE = "source_share"
CHUNK = 500


def reconsider(run: Run) -> None:
    """What was too much before is looked at again: there may be more of everything else by now."""
    rows = Example.objects.filter(pipeline_id=run.pipeline_id, state=ExampleState.LEFT_OUT, rule=RULE)
    rows.update(state=ExampleState.READY, rule="", detail="", judged_in=None)


def leave_out_excess(row: StageRun, chosen: QuerySet[Example]) -> dict[str, int]:
    """{source: rows left out}. Which rows stay is decided by their content: the same on any machine.

    The counts are kept in the stage's notes before the first row is left out: after a kill the rest is left out by the
    rows that are there then, which comes to the same rows, and no longer to the same count.
    """
    of_pipeline = Source.objects.filter(pipeline_id=row.run.pipeline_id, max_share__isnull=False)
    shares = dict(of_pipeline.values_list("pk", "max_share"))
    if not shares:
        return {}
    counts = {str(pk): n for pk, n in chosen.order_by().values_list("batch__origin").annotate(n=Count("pk"))}
    kept = keep(counts, {str(pk): share for pk, share in shares.items()})
    over = [source for source in of_pipeline if counts.get(str(source.pk), 0) > kept.get(str(source.pk), 0)]
    if "left_out" not in row.notes:
        left_out = {source.name: counts[str(source.pk)] - kept[str(source.pk)] for source in over}
        row.notes = row.notes | {"left_out": left_out}
        row.save(update_fields=["notes"])
    for source in over:
        _leave_out(chosen, source, kept[str(source.pk)])
    return dict(row.notes["left_out"])


def _leave_out(chosen: QuerySet[Example], source: Source, kept: int) -> None:
    rows = chosen.filter(batch__origin=source).order_by("content_digest", "id").values_list("pk", flat=True)
    ids = list(rows[kept:])
    words = {"source": source.name, "share": f"{100 * (source.max_share or 0):g}"}
    detail = _("Source %(source)s may be %(share)s %% of a training set at most.") % words
    for start in range(0, len(ids), CHUNK):
        some = Example.objects.filter(pk__in=ids[start : start + CHUNK])
        some.update(state=ExampleState.LEFT_OUT, rule=RULE, detail=detail)
