"""Stage 3, fine-tune. Takes: the accepted rows and the locked recipe. Gives: a model version (GGUF, verified).

Idempotent by (run, job kind). A run that brings a model has no rows: its bundle takes their place.
"""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.utils.translation import gettext as _

from pipelines.artifacts import store_of
from pipelines.engine.jobs import ensure_job
from pipelines.engine.kernel import check_own
from pipelines.engine.outcome import Done, Given, Hold, Outcome, Stop
from pipelines.engine.waiting import waiting_for
from pipelines.models import DatasetVersion, Job, ModelVersion, PipelineState, Run, StageRun
from pipelines.records import shares
from pipelines.records.dataset import claim_rows, existing_rows, new_rows, write_artifacts
from pipelines.records.version import make_version
from pipelines.validation.leakage import withdraw_leaks
from tenants.models import EvalSet

# In this order: template, converter and disk are checked before training spends an hour.
STEPS = (("preflight", "cpu"), ("train", "gpu"), ("build", "cpu"))


def run(run: Run, given: Given, now: datetime) -> Outcome:
    found = ModelVersion.objects.filter(run=run).first()
    if found is not None:
        return Done({"version": found.number})
    dataset = None if run.is_import else freeze_dataset(run, given.row, now)
    if dataset is not None and dataset.rows_total == 0:
        return Stop("skipped", "there are no examples to train on")
    for kind, queue in STEPS:
        job = ensure_job(run, kind, _queue(run, kind, queue), {}, now)
        waiting = waiting_for(job, now) or _other_template(run, job)
        if waiting is not None:
            return waiting
    version = make_version(run, dataset, now)
    return Done({"version": version.number, "digest": version.gguf_digest, "bytes": version.gguf_bytes})


def _queue(run: Run, kind: str, usual: str) -> str:
    """A GPU is for trainings of our own: asking a service, or taking a bundle, needs none."""
    is_elsewhere = run.is_import or run.revision.settings.recipe.trainer.startswith("remote:")
    return "cpu" if kind == "train" and is_elsewhere else usual


def _other_template(run: Run, job: Job) -> Outcome | None:
    """A chat template is a program, and decides what the model is asked: another than the base's is for a person."""
    theirs = job.result.get("template") or {}
    if not theirs.get("differs") or run.approvals.get("finetune"):
        return None
    changed = sum(line[:1] in "+-" for line in theirs["diff"][2:])
    return Hold(
        f"the model brings a chat template that differs from its base's in {changed} lines: "
        "read the difference, then approve or turn it down"
    )


class SetsChanged(RuntimeError):
    """An evaluation set came while the dataset was frozen: what it asks must not train, so it is frozen again."""


def freeze_dataset(run: Run, row: StageRun, now: datetime) -> DatasetVersion:
    """The run's dataset. What takes long only reads, and each write is short: SQLite has one writer, and a rollback
    must not wait for a million rows. Killed between two writes, it is gone on with; `row` keeps what the first attempt
    knew. A row that changes meanwhile is as one that changes after.
    """
    found = DatasetVersion.objects.filter(run=run).first() or _frozen(run, row, now)
    if not Job.objects.filter(run=run, stage=row.stage).exists():
        claim_rows(found)  # Before anything trains; later a person may have released a row of it, to be judged again.
    return found


def _frozen(run: Run, row: StageRun, now: datetime) -> DatasetVersion:
    settings, sets = run.revision.settings, _newest_set(run)
    withdraw_leaks(run, settings)
    if "validate" not in settings.stages:
        shares.reconsider(run)
    chosen = existing_rows(run) | new_rows(run, settings)
    left_out = shares.leave_out_excess(row, chosen)
    state = PipelineState.objects.select_related("production__dataset").get(pipeline_id=run.pipeline_id)
    parent = state.production.dataset if state.production else None
    made = DatasetVersion.of(run, pipeline_id=run.pipeline_id, run=run, parent=parent, created_at=now)
    made.left_out = left_out
    write_artifacts(made, chosen, store_of(run.client_id))
    with transaction.atomic():
        if _newest_set(run) != sets:
            raise SetsChanged(_("An evaluation set was added while the dataset was frozen."))
        made.save()
        check_own(run)
    return made


def _newest_set(run: Run) -> int | None:
    """Sets are never changed: a newer one has a greater id."""
    sets = EvalSet.objects.filter(pipeline_id=run.pipeline_id).order_by("-pk")
    return sets.values_list("pk", flat=True).first()
