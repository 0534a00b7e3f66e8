"""What a run left behind, and how another run comes by it: its rows, its dataset, its version, its measurements."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from itertools import islice
from typing import Any

from django.db.models import Q, QuerySet

from pipelines.artifacts import store_of
from pipelines.domain.change.again import ON_BYTES, TURNED_DOWN, Left
from pipelines.heavy.measure import latest_sets
from pipelines.models import DatasetVersion, Example, ExampleState, ModelVersion, PipelineState, Run, Scorecard
from pipelines.records.dataset import CLAIMED_AT_ONCE, listed
from pipelines.records.version import same_version
from pipelines.validation.leakage import withdraw_asked

COUNTS = ("rows_total", "rows_new", "labels", "batches", "left_out")
COPIED = {
    DatasetVersion: ("pipeline_id", "parent", "digest", "manifest", "created_at", *COUNTS),
    Scorecard: ("production", "metrics", "cases", "latency_ms", "answers_digest", "engine", "created_at"),
}


def left_of(run: Run) -> Left:
    store = store_of(run.client_id)
    dataset = DatasetVersion.objects.filter(run=run).first()
    version = ModelVersion.objects.filter(run=run).first()
    card = Scorecard.objects.select_related("production").filter(run=run).first()
    now = run.pipeline.revision
    return Left(
        number=run.number,
        has_rows=store.has(dataset.manifest) if dataset else None,
        has_files=store.has_all(version.files) if version else None,
        is_prompt=version is not None and (version.is_prompt or version.dataset_id is None),
        recipe_changed=now is not None and now.settings.recipe != run.revision.settings.recipe,
        has_answers=store.has_all(_files_of(card)) if card else None,
        stale=_stale(run, card) if card else "",
    )


def _files_of(card: Scorecard) -> tuple[str, ...]:
    return tuple(digest for digest in (card.answers_digest, card.cases.get("times_digest", "")) if digest)


def _stale(run: Run, card: Scorecard) -> str:
    """What changed since it was measured."""
    state = PipelineState.objects.select_related("production").get(pipeline_id=run.pipeline_id)
    if state.production_id != card.production_id:
        was, now = (version.label if version else "none" for version in (card.production, state.production))
        return f"Production was {was} when run {run.number} measured, and is {now} now."
    if {made.kind: made.version for made in latest_sets(run.pipeline_id)} != card.cases.get("set_versions", {}):
        return f"The evaluation sets changed since run {run.number} measured."
    if run.pipeline.settings.criteria != run.revision.settings.criteria:
        return f"What is measured changed in the settings since run {run.number}."
    return ""


def hand_over(old: Run, new: Run, stage: str, now: datetime) -> None:
    """Inside the transaction that makes the new run."""
    if stage == "validate":
        _free(Example.objects.filter(pipeline_id=old.pipeline_id), old)
        return
    dataset = DatasetVersion.objects.filter(run=old).first()
    if stage == "finetune" and dataset is not None:
        _claim(dataset, new, None)
    if stage in ON_BYTES:
        _hand_over_version(old, new, stage, now)


def _free(rows: QuerySet[Example], old: Run) -> None:
    """Rows that the run set aside as a whole are new again, and malformed ones count again; each other mark stays."""
    parked = rows.filter(Q(judged_in=old) | Q(dataset__run=old), state=ExampleState.PARKED, rule__in=TURNED_DOWN)
    parked.update(state=ExampleState.READY, rule="", judged_in=None, dataset=None)
    rows.filter(judged_in=old, state=ExampleState.QUARANTINED, content_digest="").update(judged_in=None)


def _claim(old: DatasetVersion, new: Run, dataset: DatasetVersion | None) -> None:
    """The rows that the dataset brought, where none that serves took them meanwhile and nobody set them aside.

    What an evaluation set asks by now stays behind.
    """
    free = Q(state=ExampleState.READY) & (Q(dataset=None) | Q(dataset=old))
    parked = Q(state=ExampleState.PARKED, rule__in=TURNED_DOWN)
    rows = Example.objects.filter(free | parked, pipeline_id=old.pipeline_id)
    withdraw_asked(rows, new)
    for some in _by_the_block(listed(old)):
        rows.filter(pk__in=some).update(state=ExampleState.READY, rule="", judged_in=new, dataset=dataset)


def _by_the_block(ids: Iterable[int]) -> Iterable[list[int]]:
    left = iter(ids)
    while some := list(islice(left, CLAIMED_AT_ONCE)):
        yield some


def _hand_over_version(old: Run, new: Run, stage: str, now: datetime) -> None:
    """Under a number of its own: what stands on a host under a version's name never becomes another run's."""
    source = ModelVersion.objects.select_related("parent").get(run=old)
    dataset = source.dataset
    if not source.is_prompt and dataset is not None:
        found = DatasetVersion.objects.get(run=old)
        dataset = _copy(found, run=new)  # As old as it was: cases that came since are newer than what it learnt.
        _claim(found, new, dataset)
    version = same_version(new, source, dataset, now)
    if stage != "evaluate":
        _copy(Scorecard.objects.get(run=old), run=new, version=version)


def _copy(row: Any, **own: Any) -> Any:
    same = {name: getattr(row, name) for name in COPIED[type(row)]}
    made = type(row).of(row, **(same | own))
    made.save()
    return made
