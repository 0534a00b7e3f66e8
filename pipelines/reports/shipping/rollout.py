"""A rollout on its way: the live split, the steps, the evidence so far, and what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import exp, log
from typing import Any

from django.db.models import Count

from pipelines.domain.canary import RULES, CanaryState, Decision, Reading, decide, readings
from pipelines.domain.eprocess import Slot
from pipelines.models import Exchange, Job, ReplayPair, Rollout, Route, Run
from pipelines.shipping import replay
from pipelines.shipping.plans import rollout_plan
from tenants.pipeline_settings import PipelineSettings

RECENT = timedelta(hours=1)
FULL_BP = 10_000
CERTAIN = 13.8  # ln of a million: more is shown as that


@dataclass(frozen=True)
class StepLine:
    """`share` of the traffic, 0 for the replay. `state`: done, now, todo. `needs`: what it waits for at least."""

    share: float
    state: str
    least_s: float
    elapsed_s: float | None


@dataclass(frozen=True)
class GuardrailLine:
    """`harm` and `safe`: evidence on the way to its threshold, 0 to 100, on a logarithmic scale."""

    words: str
    candidate: float
    production: float
    candidate_n: int
    production_n: int
    evidence: float
    threshold: float
    harm: int
    safe_evidence: float
    safe: int
    is_safe: bool
    more: int | None


@dataclass(frozen=True)
class RolloutPanel:
    rollout: Rollout
    share_bp: int
    requests: tuple[int, int]
    steps: tuple[StepLine, ...]
    guardrails: tuple[GuardrailLine, ...]
    decision: Decision
    safe_threshold: float
    keys: int
    pairs: int
    changed: int
    replay: Job | None
    asked_again: bool
    is_direct: bool

    @property
    def share(self) -> float:
        return self.share_bp / FULL_BP

    @property
    def is_replaying(self) -> bool:
        return self.replay is not None and not replay.is_over(self.replay)


def rollout_panel(rollout: Rollout | None, run: Run, now: datetime) -> RolloutPanel | None:
    """None where no version is on its way."""
    if rollout is None or not rollout.is_on_its_way or not rollout.canary:
        return None
    settings = run.revision.settings
    state, plan = CanaryState.from_json(rollout.canary), rollout_plan(settings.rollout)
    pairs = list(ReplayPair.objects.filter(rollout=rollout, phase=replay.CANARY))
    route = Route.objects.filter(pipeline_id=rollout.pipeline_id).first()
    lines = guardrail_lines(readings(state, plan), plan.safe_threshold)
    whole = [watch.seen for watch in state.watches.values()]
    return RolloutPanel(
        rollout=rollout,
        share_bp=route.candidate_bp if route else 0,
        requests=_requests(rollout, now),
        steps=step_lines(rollout, settings, now),
        guardrails=tuple(_in_all(line, seen) for line, seen in zip(lines, whole, strict=True)),
        decision=decide(state, plan, now),
        safe_threshold=plan.safe_threshold,
        keys=state.candidate_keys,
        pairs=len(pairs),
        changed=sum(pair.is_changed for pair in pairs),
        replay=replay.latest(run),
        asked_again=(settings.bodies.keep or settings.rollout.is_direct) and settings.rollout.replay,
        is_direct=settings.rollout.is_direct,
    )


def _requests(rollout: Rollout, now: datetime) -> tuple[int, int]:
    """(candidate, production) in the last hour of the rollout."""
    rows = Exchange.objects.filter(rollout=rollout, client_id=rollout.client_id, at__gt=now - RECENT)
    by_version = dict(rows.order_by().values_list("version").annotate(Count("id")))
    ours = by_version.pop(rollout.version_id, 0)
    return ours, sum(by_version.values())


def step_lines(rollout: Rollout, settings: PipelineSettings, now: datetime) -> tuple[StepLine, ...]:
    """Step 0 first; the last line is 100 %."""
    began = rollout.step_started_at
    elapsed = (now - began).total_seconds() if began else None
    lines = [StepLine(0.0, "now" if began is None else "done", 0.0, None)]
    for number, step in enumerate(() if settings.rollout.is_direct else settings.rollout.steps):
        is_now = began is not None and number == rollout.step
        state = "now" if is_now else "done" if began is not None and number < rollout.step else "todo"
        lines.append(StepLine(step.share, state, step.min_duration_s, elapsed if is_now else None))
    return (*lines, StepLine(1.0, "todo", 0.0, None))


def guardrail_lines(stands: Sequence[Reading], safe_threshold: float) -> tuple[GuardrailLine, ...]:
    return tuple(_guardrail(reading, safe_threshold) for reading in stands)


def _in_all(line: GuardrailLine, seen: Slot) -> GuardrailLine:
    """With the counts of the whole rollout: those of the strongest start can be of the last minutes only, or none."""
    candidate, production = seen.rates
    return replace(line, candidate=candidate, production=production, candidate_n=seen.n_c, production_n=seen.n_b)


def _guardrail(reading: Reading, safe_threshold: float) -> GuardrailLine:
    candidate, production = reading.counts.rates
    counts: dict[str, Any] = {"candidate_n": reading.counts.n_c, "production_n": reading.counts.n_b}
    threshold, safe = exp(reading.log_threshold), exp(min(CERTAIN, reading.safe_log_evidence))
    return GuardrailLine(
        words=RULES[reading.guardrail].words,
        candidate=candidate,
        production=production,
        evidence=exp(min(CERTAIN, reading.log_evidence)),
        threshold=threshold,
        harm=_percent(reading.log_evidence, reading.log_threshold),
        safe_evidence=safe,
        safe=_percent(reading.safe_log_evidence, log(safe_threshold)),
        is_safe=reading.is_safe,
        more=reading.more_for_safe,
        **counts,
    )


def _percent(log_evidence: float, log_threshold: float) -> int:
    return round(100 * min(1.0, max(0.0, log_evidence / log_threshold)))
