"""One look of the monitor: the version at 100 % against the frozen deck of the traffic before its rollout."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from pipelines.domain import monitor as judge
from pipelines.domain.canary import Arm, Outcome, first_per_key
from pipelines.domain.eprocess import Slot
from pipelines.models import Exchange, Rollout
from pipelines.shipping import evidence
from pipelines.shipping.canary import record
from pipelines.shipping.plans import monitor_plan
from tenants.pipeline_settings import PipelineSettings

DECK_DAYS = 7
# A pipeline younger than a week has no same clock slots: then its latest requests are dealt, so many per live one.
DEALT_PER_LIVE = 4


def look(rollout: Rollout, settings: PipelineSettings, now: datetime) -> judge.MonitorDecision:
    plan = monitor_plan(settings.monitor)
    began_at = rollout.went_live_at
    kept: dict[str, Any] = rollout.monitor or {"state": judge.begin(began_at).to_json(), "dealt": 0}
    state, dealt = judge.MonitorState.from_json(kept["state"]), kept["dealt"]
    closed = min(now - timedelta(seconds=settings.rollout.request_timeout_s) - began_at, plan.duration)
    for number in range(state.last_slot + 1, max(int(closed / plan.slot), 0)):
        start = began_at + number * plan.slot
        live = _live(rollout, start, start + plan.slot)
        deck, dealt = _deck(rollout, (start, start + plan.slot), len(live), dealt) if live else ([], dealt)
        state = judge.apply_slot(state, plan, number, _counts(live, deck, _limit(rollout)))
    recent = evidence.recent_transport(rollout, began_at, now)
    decision = judge.decide(state, plan, now, recent, judge.Replay.IMPOSSIBLE)
    rollout.monitor = {"state": state.to_json(), "dealt": dealt}
    rollout.save(update_fields=["monitor"])
    number = sum(at <= now for at in judge.check_times(plan, began_at))
    record(rollout, "monitor", number, decision, now)
    return decision


def next_look(rollout: Rollout, settings: PipelineSettings, now: datetime) -> datetime:
    """The next of the 50 looks."""
    plan = monitor_plan(settings.monitor)
    times = judge.check_times(plan, rollout.went_live_at)
    return next((at for at in times if at > now), now + plan.phases[0][1])


def _limit(rollout: Rollout) -> float:
    return float(rollout.frozen.get("slow_limit_ms", 60_000.0))


def _live(rollout: Rollout, start: datetime, end: datetime) -> list[Outcome]:
    answered = [o for o in evidence.of_slot(rollout, start, end) if o.arm is Arm.CANDIDATE]
    return first_per_key(answered, evidence.keys_seen(rollout, rollout.went_live_at, start)) if answered else []


def _counts(live: list[Outcome], deck: list[Outcome], limit: float) -> judge.Counts:
    ours, theirs = judge.count_slot(live, limit), judge.count_slot(deck, limit)
    return {name: Slot(*ours[name], *theirs[name]) for name in ours}


def _deck(rollout: Rollout, slot: tuple[datetime, datetime], n_live: int, dealt: int) -> tuple[list[Outcome], int]:
    """Baseline outcomes for one slot, each request dealt once; and how many of the young pipeline's pile are gone."""
    if rollout.previous is None:
        return [], dealt
    start, end = slot
    windows = judge.deck_windows(rollout.created_at, start, DECK_DAYS)
    found = evidence.of_baseline(rollout, [(w, w + (end - start)) for w in windows])
    if found or _is_a_week_old(rollout):
        return found, dealt
    wanted = DEALT_PER_LIVE * n_live
    pile = _pile(rollout)[dealt : dealt + wanted]
    return pile, dealt + len(pile)


def _is_a_week_old(rollout: Rollout) -> bool:
    cut = rollout.created_at - timedelta(days=DECK_DAYS)
    return Exchange.objects.filter(version=rollout.previous, client_id=rollout.client_id, at__lt=cut).exists()


def _pile(rollout: Rollout) -> list[Outcome]:
    """The previous version's latest requests before 100 %, newest first, one per key."""
    rows = Exchange.objects.filter(version=rollout.previous, client_id=rollout.client_id, at__lt=rollout.live_at)
    newest = [
        evidence.outcome_of(row, rollout.version_id) for row in rows.order_by("-at")[: evidence.BASELINE_REQUESTS]
    ]
    return first_per_key(newest, ())[::-1]
