"""Stage 3, fine-tune. Takes: the accepted rows and the locked recipe. Gives: a model version (GGUF, verified).

Idempotent by (run, job kind).
"""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from pipelines.engine.jobs import ensure_job
from pipelines.engine.outcome import Done, Given, Outcome, Stop
from pipelines.engine.waiting import waiting_for
from pipelines.models import DatasetVersion, ModelVersion, Run
from pipelines.records.dataset import freeze_dataset
from pipelines.records.version import make_version
from pipelines.validation.leakage import withdraw_leaks
from tenants.pipeline_settings import PipelineSettings

# In this order: template, converter and disk are checked before training spends an hour.
STEPS = (("preflight", "cpu"), ("train", "gpu"), ("build", "cpu"))


def run(run: Run, given: Given, now: datetime) -> Outcome:
    found = ModelVersion.objects.filter(run=run).first()
    if found is not None:
        return Done({"version": found.number})
    dataset = _dataset(run, given.settings, now)
    if dataset.rows_total == 0:
        return Stop("skipped", "there are no examples to train on")
    for kind, queue in STEPS:
        job = ensure_job(run, kind, queue, {}, now)
        waiting = waiting_for(job, now)
        if waiting is not None:
            return waiting
    version = make_version(run, dataset, now)
    return Done({"version": version.number, "digest": version.gguf_digest, "bytes": version.gguf_bytes})


@transaction.atomic
def _dataset(run: Run, settings: PipelineSettings, now: datetime) -> DatasetVersion:
    if not DatasetVersion.objects.filter(run=run).exists():
        withdraw_leaks(run, settings)
    return freeze_dataset(run, settings, now)
