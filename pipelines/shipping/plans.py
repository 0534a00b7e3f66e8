"""The client's rollout and monitor settings in the judges' own terms."""

from __future__ import annotations

from datetime import timedelta

from pipelines.domain.canary import RolloutPlan, Step
from pipelines.domain.monitor import MonitorPlan
from tenants import pipeline_settings

LONGEST_SLOT_S = 60


def rollout_plan(plan: pipeline_settings.RolloutPlan) -> RolloutPlan:
    last = len(plan.steps) - 1
    steps = tuple(
        # Keys alone never take a candidate to 100 %: the last step needs SAFE on every guardrail.
        Step(round(step.share * 10_000), timedelta(seconds=step.min_duration_s), None if n == last else plan.min_keys)
        for n, step in enumerate(plan.steps)
    )
    return RolloutPlan(
        steps=steps,
        max_step=timedelta(seconds=plan.max_step_s),
        slot=timedelta(seconds=min(LONGEST_SLOT_S, plan.check_every_s)),
        safe_threshold=plan.safe_evidence,
        max_pairs=plan.max_pairs,
        literal=plan.is_literal,
    )


def monitor_plan(plan: pipeline_settings.MonitorPlan) -> MonitorPlan:
    baselines = 2 if plan.holdback_share else 1
    standard = MonitorPlan(literal=plan.is_literal, safe_threshold=plan.safe_evidence, baselines=baselines)
    return standard.scaled(plan.duration_s / standard.duration.total_seconds())
