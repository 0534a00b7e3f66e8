"""What the meter saw, as the judges want it: one outcome per finished request."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

import numpy as np

from pipelines.domain.canary import Arm, Outcome, first_per_key
from pipelines.models import Exchange, ModelVersion, Rollout, Run, Scorecard

RECENT = timedelta(minutes=15)
BASELINE_REQUESTS = 1000
LEAST_FOR_P95 = 50
KEY_MEMORY = timedelta(hours=24)
# Without traffic to measure production by: the evaluation's p95, times what a served request costs beside it.
SERVING_FACTOR = 3.0


def arm_of(exchange: Exchange, candidate_id: int) -> Arm:
    """By version, not by the route's words: at 100 % the version on watch is the route's production."""
    return Arm.CANDIDATE if exchange.version_id == candidate_id else Arm.PRODUCTION


def outcome_of(exchange: Exchange, candidate_id: int) -> Outcome:
    return Outcome(
        at=exchange.at,
        arm=arm_of(exchange, candidate_id),
        key=exchange.key_hash,
        is_error=exchange.is_error,
        latency_ms=exchange.latency_ms,
        is_bad=exchange.is_bad,
        first_after_load=exchange.is_after_load,
    )


def of_slot(rollout: Rollout, start: datetime, end: datetime) -> list[Outcome]:
    """Every request of the rollout that arrived in [start, end)."""
    rows = Exchange.objects.filter(rollout=rollout, client_id=rollout.client_id, at__gte=start, at__lt=end)
    return [outcome_of(row, rollout.version_id) for row in rows]


def by_slot(rollout: Rollout, slots: Sequence[tuple[int, datetime, datetime]]) -> dict[int, list[Outcome]]:
    """Slot -> its requests, where it has any. One question: after an outage a day of slots is due at once."""
    if not slots:
        return {}
    first, start, end = slots[0]
    found: dict[int, list[Outcome]] = {}
    for outcome in of_slot(rollout, start, slots[-1][2]):
        found.setdefault(first + (outcome.at - start) // (end - start), []).append(outcome)
    return found


def keys_seen(rollout: Rollout, since: datetime, until: datetime) -> set[str]:
    """Keys that were counted before: in this step, and within 24 h."""
    start = max(since, until - KEY_MEMORY)
    rows = Exchange.objects.filter(rollout=rollout, client_id=rollout.client_id, at__gte=start, at__lt=until)
    return set(rows.values_list("key_hash", flat=True))


def recent_transport(rollout: Rollout, since: datetime, now: datetime) -> list[Outcome]:
    """The latest requests that nobody has answered for yet, where only a failing wire counts as an error."""
    start = max(since, rollout.settled_at or since, now - RECENT)
    rows = Exchange.objects.filter(rollout=rollout, client_id=rollout.client_id, at__gte=start)
    return [
        Outcome(row.at, arm_of(row, rollout.version_id), row.key_hash, is_error=row.is_transport_error) for row in rows
    ]


def slow_limit_ms(production: ModelVersion, run: Run) -> float:
    """Production's p95 in ms, to be frozen when the rollout begins."""
    rows = Exchange.objects.filter(version=production, client_id=production.client_id, latency_ms__isnull=False)
    rows = rows.filter(is_error=False, is_after_load=False)
    latencies = list(rows.order_by("-at").values_list("latency_ms", flat=True)[:BASELINE_REQUESTS])
    if len(latencies) >= LEAST_FOR_P95:
        return float(np.percentile([x for x in latencies if x is not None], 95))
    card = Scorecard.objects.filter(run=run).first()
    measured = (card.latency_ms if card else {}).get("production_p95") or (card.latency_ms if card else {}).get(
        "candidate_p95"
    )
    return SERVING_FACTOR * float(measured) if measured else 60_000.0


def of_baseline(rollout: Rollout, windows: Iterable[tuple[datetime, datetime]]) -> list[Outcome]:
    """One outcome per key of what the previous version answered in each window."""
    found: list[Outcome] = []
    for start, end in windows:
        rows = Exchange.objects.filter(version=rollout.previous, client_id=rollout.client_id, at__gte=start, at__lt=end)
        found += first_per_key([outcome_of(row, rollout.version_id) for row in rows], ())
    return found
