"""Stage 4, evaluate. Takes: the GGUF that would ship, and production. Gives: a scorecard.

Where a judge model is asked for, it compares the answers afterwards, as a job of its own.
Idempotent by (run, job evaluate) and (run, job judge).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pipelines.engine.jobs import ensure_job
from pipelines.engine.outcome import Done, Given, Outcome
from pipelines.engine.waiting import waiting_for
from pipelines.models import Job, ModelVersion, Run
from pipelines.records.judged import unrivalled, with_judge
from pipelines.records.scorecard import keep_scorecard
from tenants.pipeline_settings import JUDGED


def run(run: Run, given: Given, now: datetime) -> Outcome:
    version = ModelVersion.objects.get(run=run)
    job = ensure_job(run, "evaluate", "cpu", {}, now)
    waiting = waiting_for(job, now)
    if waiting is not None:
        return waiting
    measured = job.result
    if JUDGED in given.settings.criteria.metrics:
        judging = _judging(run, measured, now)
        waiting = waiting_for(judging, now) if judging else None
        if waiting is not None:
            return waiting
        measured = with_judge(measured, judging.result) if judging else unrivalled(measured)
    if version.is_prompt:
        version.card |= {"golden_answers": job.result.get("golden_answers", [])}
        version.save(update_fields=["card"])
    card = keep_scorecard(run, version, measured, now)
    return Done({"metrics": card.metrics, "engine": card.engine})


def _judging(run: Run, measured: dict[str, Any], now: datetime) -> Job | None:
    """None where there is nothing to compare with, or no case to compare on."""
    if measured["production_version"] is None or "heldout" not in measured["sets"]:
        return None
    return ensure_job(run, "judge", "push", {}, now)
