"""How often a healthy new version would be taken back on this client's traffic, by either rule."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from math import erf, sqrt

from django.db.models import Sum

from pipelines.domain.canary import literal_false_rollback_rate
from pipelines.models import TrafficSpan, Unit
from tenants.models import Pipeline
from tenants.pipeline_settings import PipelineSettings

WEEKS = timedelta(days=28)
DAY_S = 86_400.0
# Without traffic to go by: what a small application asks, and a success that is common.
SUPPOSED = (200.0, 0.95)
# Beyond this many cells the exact sum costs seconds, and the normal one is as good.
EXACT_CELLS = 2_000_000
# The monitor's looks: 12 in the first 1/24 of its time, 20 in the next 5/24, 18 in the rest.
LOOKS = ((12, 1 / 24), (20, 5 / 24), (18, 18 / 24))
DROP = 0.05
BY_EVIDENCE = 0.01


@dataclass(frozen=True)
class Phase:
    """One part of a rollout: `windows` looks with `candidate` requests in each, and how often one of them fires."""

    name: str
    share: float
    windows: int
    candidate: float
    literal: float


@dataclass(frozen=True)
class Alarms:
    """Chances that an equally good version is taken back in one rollout. `literal`: by "more than 5 % below".

    `evidence`: by the default rule; a bound that holds however often it looks.
    """

    per_day: float
    success: float
    is_measured: bool
    phases: tuple[Phase, ...]
    evidence: float = BY_EVIDENCE

    @property
    def literal(self) -> float:
        stays = 1.0
        for phase in self.phases:
            stays *= 1 - phase.literal
        return 1 - stays


def alarms(pipeline: Pipeline, settings: PipelineSettings, now: datetime) -> Alarms:
    measured = _traffic(pipeline, now)
    per_day, success = measured or SUPPOSED
    every = float(settings.rollout.check_every_s)
    made = [
        _phase(
            f"{100 * step.share:g} %", step.share, max(1, round(step.min_duration_s / every)), every, per_day, success
        )
        for step in settings.rollout.steps
    ]
    for n, part in LOOKS:
        length = settings.monitor.duration_s * part / n
        # All the traffic beside the same hours of the week before: as many on either side.
        made.append(_phase("monitor", 0.5, n, length, 2 * per_day, success))
    return Alarms(per_day, success, measured is not None, tuple(made))


def _traffic(pipeline: Pipeline, now: datetime) -> tuple[float, float] | None:
    """(requests a day, share of good answers) over the last four weeks, by the days that had any."""
    spans = TrafficSpan.objects.filter(pipeline=pipeline, unit=Unit.DAY, begins_at__gte=now - WEEKS)
    days = spans.values("begins_at").distinct().count()
    found = spans.aggregate(n=Sum("requests"), bad=Sum("bad"), errors=Sum("errors"))
    if not days or not found["n"]:
        return None
    failing = min(found["n"], (found["bad"] or 0) + (found["errors"] or 0))
    return found["n"] / days, 1 - failing / found["n"]


def _phase(name: str, share: float, windows: int, length_s: float, per_day: float, success: float) -> Phase:
    candidate = per_day * share * length_s / DAY_S
    # A window that nobody asked in decides nothing.
    counting = max(1, round(windows * min(1.0, candidate)))
    return Phase(name, share, windows, candidate, _literal(max(1, round(candidate)), share, success, counting))


def _literal(n_c: int, share: float, success: float, windows: int) -> float:
    n_b = max(1, round(n_c * (1 - share) / share))
    if n_c * n_b <= EXACT_CELLS:
        return literal_false_rollback_rate(n_c, share, success, windows, DROP)
    # c - 0.95 b is normal: mean 0.05 s, variance s (1 - s) (1 / n_c + 0.95^2 / n_b).
    sd = sqrt(success * (1 - success) * (1 / n_c + (1 - DROP) ** 2 / n_b)) or 1e-12
    once = 0.5 * (1 + erf(-DROP * success / sd / sqrt(2)))
    return float(1 - (1 - once) ** windows)
