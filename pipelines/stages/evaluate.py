"""Stage 4, evaluate. Takes: the GGUF that would ship, and production. Gives: a scorecard.

Idempotent by (run, job evaluate).
"""

from __future__ import annotations

from datetime import datetime

from pipelines.engine.jobs import ensure_job
from pipelines.engine.outcome import Done, Given, Outcome
from pipelines.engine.waiting import waiting_for
from pipelines.models import ModelVersion, Run
from pipelines.records.scorecard import keep_scorecard


def run(run: Run, given: Given, now: datetime) -> Outcome:
    version = ModelVersion.objects.get(run=run)
    job = ensure_job(run, "evaluate", "cpu", {}, now)
    waiting = waiting_for(job, now)
    if waiting is not None:
        return waiting
    card = keep_scorecard(run, version, job.result, now)
    return Done({"metrics": card.metrics, "engine": card.engine})
