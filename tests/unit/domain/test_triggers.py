"""What starts a run and, each time, why not."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from pipelines.domain.triggers import (
    Forced,
    History,
    NotYet,
    Start,
    TriggerFacts,
    TriggerKind,
    TriggerSettings,
    backtest,
    should_start,
)

NOW = datetime(2026, 5, 6, 12, 0, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
SETTINGS = TriggerSettings(
    schedule_rule="FREQ=MONTHLY;BYDAY=+1TU;BYHOUR=4", time_zone="Europe/Madrid", schedule_set_at=NOW - 90 * DAY
)
QUIET = TriggerFacts(schedule_handled_until=NOW - HOUR)
DUE = replace(QUIET, schedule_handled_until=NOW - 2 * DAY)
POOR = replace(QUIET, quality=0.80, quality_sample=100)


def started(facts: TriggerFacts, settings: TriggerSettings = SETTINGS) -> Start:
    decision = should_start(settings, facts, NOW)
    assert isinstance(decision, Start), decision
    return decision


def refused(facts: TriggerFacts, settings: TriggerSettings = SETTINGS) -> NotYet:
    decision = should_start(settings, facts, NOW)
    assert isinstance(decision, NotYet), decision
    return decision


def test_nothing_due_says_everything_it_waits_for() -> None:
    decision = refused(replace(QUIET, new_examples=412, quality=0.91, quality_sample=240))
    assert decision.reason == (
        "next schedule 2026-06-02 04:00 Europe/Madrid; 412 of 500 new examples; quality 0.910 >= 0.850, n=240"
    )
    assert decision.next_eligible_at == datetime(2026, 6, 2, 2, 0, tzinfo=UTC)


def test_a_due_schedule_starts_for_its_due_time() -> None:
    occasion = started(DUE).occasion
    assert (occasion.kind, occasion.due_at) == (TriggerKind.SCHEDULE, datetime(2026, 5, 5, 2, 0, tzinfo=UTC))
    on_time = should_start(SETTINGS, DUE, occasion.due_at)
    assert isinstance(on_time, Start)
    assert on_time.occasion.sentence == "due 2026-05-05 04:00 Europe/Madrid"


def test_missed_occurrences_collapse_into_one() -> None:
    occasion = started(replace(QUIET, schedule_handled_until=NOW - 80 * DAY)).occasion
    assert occasion.missed == 2
    assert occasion.due_at == datetime(2026, 5, 5, 2, 0, tzinfo=UTC)


def test_enough_new_examples_start() -> None:
    assert isinstance(should_start(SETTINGS, replace(QUIET, new_examples=499), NOW), NotYet)
    occasion = started(replace(QUIET, new_examples=500)).occasion
    assert (occasion.kind, occasion.sentence) == (TriggerKind.DATA, "500 new examples >= 500")


@pytest.mark.parametrize(
    ("quality", "sample", "fires"),
    [(0.80, 100, True), (0.80, 99, False), (0.85, 100, False), (float("nan"), 100, False), (None, 0, False)],
)
def test_poor_quality_starts_with_a_minimum_sample(quality: float | None, sample: int, fires: bool) -> None:
    facts = replace(QUIET, quality=quality, quality_sample=sample)
    assert isinstance(should_start(SETTINGS, facts, NOW), Start) is fires


@pytest.mark.parametrize("facts", [DUE, POOR, replace(QUIET, new_examples=900)])
@pytest.mark.parametrize("field", ["quality_run_ended_at", "rolled_back_at"])
def test_the_cooldown_holds_back_every_automatic_trigger(facts: TriggerFacts, field: str) -> None:
    within = replace(facts, **{field: NOW - 47 * HOUR})  # type: ignore[arg-type]
    decision = refused(within)
    assert decision.next_eligible_at == NOW + HOUR
    assert "deferred" in decision.reason
    started(replace(facts, **{field: NOW - 48 * HOUR}))  # type: ignore[arg-type]


def test_a_schedule_that_falls_into_the_cooldown_starts_after_it() -> None:
    facts = replace(DUE, rolled_back_at=NOW - 47 * HOUR)
    assert isinstance(should_start(SETTINGS, facts, NOW), NotYet)
    later = should_start(SETTINGS, facts, NOW + HOUR)
    assert isinstance(later, Start)
    assert later.occasion.kind is TriggerKind.SCHEDULE


def test_a_person_may_force_past_the_cooldown_and_caps_but_not_past_a_live_run() -> None:
    forced = Forced(TriggerKind.PERSON, "the client asked")
    facts = replace(QUIET, rolled_back_at=NOW, started_at=(NOW,) * 9, forced=forced)
    assert started(facts).occasion.sentence == "the client asked"
    assert refused(replace(facts, has_live_run=True)).reason == "a run of this pipeline is live"


def test_the_daily_cap_says_when_it_ends() -> None:
    times = tuple(NOW - h * HOUR for h in (2, 5, 20, 30))
    decision = refused(replace(DUE, started_at=times), replace(SETTINGS, runs_per_day=3))
    assert decision.next_eligible_at == NOW + 4 * HOUR
    started(replace(DUE, started_at=times), replace(SETTINGS, runs_per_day=4))


def test_the_monthly_budget_ends_with_the_month() -> None:
    decision = refused(replace(DUE, cost_this_month=20.0), replace(SETTINGS, cost_per_month=20.0))
    assert decision.next_eligible_at == datetime(2026, 5, 31, 22, 0, tzinfo=UTC)
    assert decision.reason.startswith("20.00 of 20.00 spent this month")


def test_with_every_trigger_off_nothing_starts() -> None:
    off = TriggerSettings(new_examples=None, quality_below=None)
    assert refused(TriggerFacts(new_examples=9_999), off) == NotYet("no trigger is switched on")


def test_a_backtest_lists_what_would_have_fired() -> None:
    history = History(accepted=tuple((NOW - d * DAY, 60) for d in range(1, 41)))
    fired = backtest(SETTINGS, history, NOW)
    assert [o.kind for o in fired].count(TriggerKind.DATA) == 2400 // 540
    assert [o.due_at.month for o in fired if o.kind is TriggerKind.SCHEDULE] == [3, 4, 5]
    assert list(fired) == sorted(fired, key=lambda o: o.due_at)


def test_a_backtest_defers_by_the_cooldown_and_then_starts() -> None:
    settings = replace(SETTINGS, schedule_rule=None)
    history = History(accepted=((NOW - 10 * DAY, 600),), rolled_back_at=(NOW - 11 * DAY,))
    fired = backtest(settings, history, NOW)
    assert [o.due_at for o in fired] == [NOW - 9 * DAY]


def test_lasting_poor_quality_starts_at_most_every_48_hours() -> None:
    settings = replace(SETTINGS, schedule_rule=None)
    history = History(quality=tuple((NOW - h * HOUR, 0.7, 200) for h in range(95, 0, -1)))
    assert len(backtest(settings, history, NOW)) == 2


def test_a_schedule_that_comes_round_while_a_run_is_live_is_named() -> None:
    decision = refused(replace(DUE, has_live_run=True))
    assert decision.reason == "a run of this pipeline is live; deferred: due 2026-05-05 04:00 Europe/Madrid"


def test_a_late_start_says_what_kept_it() -> None:
    due = datetime(2026, 5, 5, 2, 0, tzinfo=UTC)
    facts = replace(DUE, held_back=(due, "a run of this pipeline is live; deferred: due"))
    decision = should_start(SETTINGS, facts, due + 2 * HOUR)
    assert isinstance(decision, Start)
    assert decision.occasion.sentence.endswith("04:00 Europe/Madrid (held back: a run of this pipeline is live)")


def test_a_late_start_that_nobody_looked_for_says_so() -> None:
    due = datetime(2026, 5, 5, 2, 0, tzinfo=UTC)
    facts = replace(DUE, held_back=(due - DAY, "next schedule 2026-05-05 04:00 Europe/Madrid"))
    decision = should_start(SETTINGS, facts, due + 2 * HOUR)
    assert isinstance(decision, Start)
    assert decision.occasion.sentence.endswith("(nobody looked at the time: the ticker stood still)")


def test_a_spread_schedule_starts_later_for_the_same_due_time_and_says_when() -> None:
    due, spread = datetime(2026, 5, 5, 2, 0, tzinfo=UTC), timedelta(minutes=7)
    settings = replace(SETTINGS, spread=spread, new_examples=None, quality_below=None)
    waits = should_start(settings, DUE, due + timedelta(minutes=6))
    assert isinstance(waits, NotYet)
    assert waits == NotYet("next schedule 2026-05-05 04:00 Europe/Madrid, starts 04:07:00", due + spread)
    starts = should_start(settings, DUE, due + spread)
    assert isinstance(starts, Start)
    assert (starts.occasion.due_at, starts.occasion.sentence) == (due, "due 2026-05-05 04:00 Europe/Madrid")
