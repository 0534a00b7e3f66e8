"""One look of the monitor: the version at 100 % against the frozen deck of the traffic before its rollout."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from pipelines.domain import monitor as judge
from pipelines.domain.canary import Arm, Guardrail, Outcome, confirms, first_per_key
from pipelines.domain.eprocess import Slot
from pipelines.models import Exchange, ReplayPair, Rollout, Route
from pipelines.shipping import evidence, replay
from pipelines.shipping.canary import record
from pipelines.shipping.plans import monitor_plan
from pipelines.shipping.route import flip
from tenants.pipeline_settings import PipelineSettings

DECK_DAYS = 7
CONFIRMING = 1  # Of the phase "replay"; 0 is step 0.
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
        live, held = _arms(rollout, start, start + plan.slot)
        deck = _deck(rollout, (start, start + plan.slot), len(live), dealt) if live else Deck()
        dealt += deck.dealt
        beside = _counts(live, Deck(held), _limit(rollout))
        state = judge.apply_slot(state, plan, number, _counts(live, deck, _limit(rollout)), beside)
    decision = _decision(rollout, settings, state, now)
    rollout.monitor = {"state": state.to_json(), "dealt": dealt}
    rollout.save(update_fields=["monitor"])
    number = sum(at <= now for at in judge.check_times(plan, began_at))
    if decision.move is judge.MonitorMove.CONFIRM:
        record(rollout, "replay", CONFIRMING, decision, now)  # The look itself is written once the pairs are there.
    else:
        record(rollout, "monitor", number, decision, now)
    return decision


def _decision(
    rollout: Rollout, settings: PipelineSettings, state: judge.MonitorState, now: datetime
) -> judge.MonitorDecision:
    """What a deck that fired leads to is settled by pairs, where there can be some."""
    plan, recent = monitor_plan(settings.monitor), evidence.recent_transport(rollout, rollout.went_live_at, now)
    decision = judge.decide(state, plan, now, recent, judge.Replay.POSSIBLE)
    if decision.move is not judge.MonitorMove.CONFIRM or decision.guardrail is None:
        return decision
    job = replay.job_of(rollout, "watch", replay.MONITOR, settings, now)
    if job is not None and not replay.is_over(job):
        return decision
    found = replay.pairs(ReplayPair.objects.filter(rollout=rollout, phase=replay.MONITOR))
    if not found:
        return judge.decide(state, plan, now, recent, judge.Replay.IMPOSSIBLE)
    agrees, words = confirms(decision.guardrail, found, _limit(rollout))
    settled = judge.decide(state, plan, now, recent, judge.Replay.AGREES if agrees else judge.Replay.DISAGREES)
    return replace(settled, sentence=f"{settled.sentence} ({words})")


def hold_back(rollout: Rollout, settings: PipelineSettings, now: datetime) -> None:
    """After promotion a share of the keys stays with the version before, for as long as the monitor watches.

    In the route the new version is the candidate with the rest: no key that has met it is moved back.
    """
    share = settings.monitor.holdback_share
    if share and rollout.previous is not None and "monitor" in settings.stages:
        flip(rollout.previous, now, candidate=rollout.version, share=1 - share, rollout=rollout)


def end_holdback(rollout: Rollout, now: datetime) -> None:
    if Route.objects.filter(pipeline_id=rollout.pipeline_id, candidate=rollout.version).exists():
        flip(rollout.version, now, rollout=rollout)


def next_look(rollout: Rollout, settings: PipelineSettings, now: datetime) -> datetime:
    """The next of the 50 looks."""
    plan = monitor_plan(settings.monitor)
    times = judge.check_times(plan, rollout.went_live_at)
    return next((at for at in times if at > now), now + plan.phases[0][1])


def is_over(rollout: Rollout, settings: PipelineSettings, now: datetime) -> bool:
    """Whether the time of the watch is behind."""
    return now >= rollout.went_live_at + monitor_plan(settings.monitor).duration


def _limit(rollout: Rollout) -> float:
    return float(rollout.frozen.get("slow_limit_ms", 60_000.0))


def _arms(rollout: Rollout, start: datetime, end: datetime) -> tuple[list[Outcome], list[Outcome]]:
    """Of one slot, one outcome per key: of the version on watch, and of the version before where it is held back."""
    answered = evidence.of_slot(rollout, start, end)
    counted = first_per_key(answered, evidence.keys_seen(rollout, rollout.went_live_at, start)) if answered else []
    return [o for o in counted if o.arm is Arm.CANDIDATE], [o for o in counted if o.arm is Arm.PRODUCTION]


@dataclass(frozen=True)
class Deck:
    """Baseline outcomes for one slot. `dealt`: how many of them came off the pile of a young pipeline."""

    outcomes: list[Outcome] = field(default_factory=list)
    dealt: int = 0


def _counts(live: list[Outcome], deck: Deck, limit: float) -> judge.Counts:
    ours, theirs = judge.count_slot(live, limit), judge.count_slot(deck.outcomes, limit)
    # A pile is of another hour, and how busy the host was decides an answer's time more than the version does.
    judged = set(ours) - {Guardrail.SLOW} if deck.dealt else set(ours)
    return {name: Slot(*ours[name], *theirs[name]) for name in ours if name in judged}


def _deck(rollout: Rollout, slot: tuple[datetime, datetime], n_live: int, dealt: int) -> Deck:
    """What the live requests of one slot are compared with: each request is dealt once."""
    if rollout.previous is None:
        return Deck()
    start, end = slot
    windows = judge.deck_windows(rollout.created_at, start, DECK_DAYS)
    found = evidence.of_baseline(rollout, [(w, w + (end - start)) for w in windows])
    if found or _is_a_week_old(rollout):
        return Deck(found)
    pile = _pile(rollout)[dealt : dealt + DEALT_PER_LIVE * n_live]
    return Deck(pile, len(pile))


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
