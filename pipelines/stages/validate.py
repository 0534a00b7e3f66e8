"""Stage 2, validate. Takes: rows that no run has judged. Gives: their marks and a report.

Idempotent: rows are judged once per run.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pipelines.domain.data_checks import BatchCounts, BatchDecision, BatchLimits, Course, decide_batch
from pipelines.engine.outcome import Done, Given, Hold, Outcome, Stop
from pipelines.models import Run
from pipelines.records.shares import reconsider
from pipelines.validation.judging import judge_rows
from tenants.pipeline_settings import PipelineSettings


def run(run: Run, given: Given, now: datetime) -> Outcome:
    report = given.row.notes or _judge(run, given, now)
    decision = decide(report, given.settings)
    reason = "; ".join(decision.reasons)
    match decision.course:
        case Course.STOP:
            return Stop("stopped", reason)
        case Course.SKIP:
            return Stop("skipped", reason)
        case Course.HOLD if not run.approvals.get("validate"):
            return Hold(reason)
        case _:
            return Done(report)


def _judge(run: Run, given: Given, now: datetime) -> dict[str, Any]:
    reconsider(run)
    return judge_rows(run, given.settings, given.row, now)


def decide(report: dict[str, Any], settings: PipelineSettings) -> BatchDecision:
    counts = BatchCounts(report["rows"], report["malformed"], report["usable"])
    limits = BatchLimits(settings.data.min_new_examples, settings.data.max_malformed_share)
    return decide_batch(counts, tuple(report["distribution"]["breaches"]), limits)
