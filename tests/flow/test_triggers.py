"""Triggers tick by tick with a clock: schedules over summer time and downtime, thresholds, cooldown, the ledger."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from pipelines import actions, ticker
from pipelines.artifacts import store_of
from pipelines.domain.schedule import spread_of
from pipelines.engine import dispatch
from pipelines.models import Exchange, Feedback, ModelVersion, PipelineState, Run, TriggerDecision
from pipelines.triggers import consider
from tenants import crossing
from tenants.actions import change_settings
from tenants.models import AuditEvent, Pipeline
from tests import factories
from tests.conftest import Clock
from tests.flow.conftest import lines

MADRID = ZoneInfo("Europe/Madrid")
OFF = {"new_examples": None, "quality_below": None}
FIRST_TUESDAY = OFF | {"schedule": {"rule": "FREQ=MONTHLY;BYDAY=+1TU", "at": "04:00"}}
SINCE = timedelta(seconds=1)


class Silence:
    """Sends nothing: runs that start stay queued, as with workers that are all busy."""

    def send(self, task: str, queue: str, client_id: int, row_id: int) -> None:
        assert client_id and row_id


@pytest.fixture(autouse=True)
def busy_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "engine", Silence)


@pytest.fixture
def made(db: None) -> Iterator[Any]:
    """Makes one pipeline of a client in Madrid, whose scope then stays open."""
    opened: list[Any] = []

    def make(least: int = 1, stages: tuple[str, ...] = factories.STAGES, **triggers: Any) -> Pipeline:
        client = factories.make_client(timezone="Europe/Madrid")
        more: dict[str, Any] = {"stages": stages, "data": {"min_new_examples": least}}
        pipeline = factories.make_pipeline(client, triggers=OFF | triggers, **more)
        opened.append(factories.inside(pipeline))
        opened[-1].__enter__()
        return pipeline

    yield make
    for scope in reversed(opened):
        scope.__exit__(None, None, None)


def tick(pipeline: Pipeline, now: datetime) -> Run | None:
    """One look by the ticker's way, if the pipeline is due at all; gives the run that it started."""
    before = set(Run.objects.filter(pipeline=pipeline).values_list("pk", flat=True))
    for _client_id, state_id in crossing.due("due_triggers", now):
        ticker.look_at_triggers(state_id, now)
    return Run.objects.filter(pipeline=pipeline).exclude(pk__in=before).first()


def tick_until(pipeline: Pipeline, start: datetime, end: datetime, step: timedelta) -> list[tuple[datetime, Run]]:
    """Looks at every step and when the ledger says that the answer may change; each run that starts is over at once.

    Gives when each run started, in Madrid's time.
    """
    started = []
    now = start
    while now <= end:
        run = tick(pipeline, now)
        if run is not None:
            started.append((now.astimezone(MADRID), run))
            finish(run, now)
        now = next_look(pipeline, now, step)
    return started


def next_look(pipeline: Pipeline, now: datetime, step: timedelta) -> datetime:
    last = TriggerDecision.objects.filter(pipeline=pipeline).first()
    if last is None or last.next_eligible_at is None or last.next_eligible_at <= now:
        return now + step
    return min(now + step, last.next_eligible_at)


def finish(run: Run, now: datetime) -> None:
    """The run is over; its pipeline is looked at again as after every run."""
    actions.cancel(run, actor="tests", reason="over", now=now)


def look_from(pipeline: Pipeline, now: datetime) -> None:
    PipelineState.objects.filter(pipeline=pipeline).update(due_at=now)


def reasons(pipeline: Pipeline) -> list[str]:
    """The ledger, oldest first."""
    return list(TriggerDecision.objects.filter(pipeline=pipeline).order_by("id").values_list("reason", flat=True))


def test_the_first_tuesday_at_four_is_kept_over_the_change_to_summer_time(made: Any) -> None:
    pipeline = made(**FIRST_TUESDAY)
    look_from(pipeline, factories.NOW)
    end = factories.NOW + timedelta(days=65)
    started = tick_until(pipeline, factories.NOW, end, timedelta(hours=8))
    assert [f"{at:%a %Y-%m-%d %H:%M %Z}" for at, _run in started] == [
        "Tue 2026-04-07 04:00 CEST",
        "Tue 2026-05-05 04:00 CEST",
    ]
    assert [run.occasion["missed"] for _at, run in started] == [0, 0]
    assert started[0][1].occasion["reason"] == "due 2026-04-07 04:00 Europe/Madrid"


def test_the_change_to_winter_time_starts_one_run_and_not_two(made: Any, clock: Clock) -> None:
    pipeline = made(schedule={"rule": "FREQ=DAILY", "at": "02:30"})  # 25 October 2026 has two of them.
    clock.now = datetime(2026, 10, 24, 12, 0, tzinfo=UTC)
    PipelineState.objects.filter(pipeline=pipeline).update(schedule_seen_at=clock.now, due_at=clock.now)
    started = tick_until(pipeline, clock.now, clock.now + timedelta(days=2), timedelta(minutes=10))
    assert [f"{at:%d %H:%M %Z}" for at, _run in started] == ["25 02:30 CEST", "26 02:30 CET"]


def test_three_months_of_downtime_collapse_into_one_run(made: Any, clock: Clock) -> None:
    pipeline = made(**FIRST_TUESDAY)
    look_from(pipeline, clock.now)
    assert tick(pipeline, clock.now) is None
    clock.now = datetime(2026, 6, 20, 9, 0, tzinfo=UTC)
    run = tick(pipeline, clock.now)
    assert run is not None
    assert run.occasion["missed"] == 2
    slots = "due 2026-06-02 04:00 Europe/Madrid, with 2 missed before"
    assert run.occasion["reason"] == f"{slots} (nobody looked at the time: the ticker stood still)"
    finish(run, clock.now)
    assert tick_until(pipeline, clock.now, clock.now + timedelta(days=2), timedelta(hours=1)) == []
    assert reasons(pipeline)[-1] == "next schedule 2026-07-07 04:00 Europe/Madrid"


def test_enough_new_examples_start_a_run_at_the_next_tick(made: Any, clock: Clock) -> None:
    pipeline = made(new_examples=20)
    for first, count in ((0, 19), (100, 1)):
        assert tick(pipeline, clock.now) is None
        clock.advance(minutes=6)
        token = f"t{first}"
        actions.add_examples(pipeline, lines(first, count), token=token, actor="tests", now=clock.now)
    run = tick(pipeline, clock.now)
    assert run is not None
    assert (run.occasion["kind"], run.occasion["reason"]) == ("data", "20 new examples >= 20")
    assert reasons(pipeline) == ["0 of 20 new examples", "19 of 20 new examples", "20 new examples >= 20"]


def test_fewer_new_examples_than_validate_takes_start_no_run_that_it_would_skip(made: Any, clock: Clock) -> None:
    pipeline = made(new_examples=10, least=20)
    actions.add_examples(pipeline, lines(0, 15), token="t0", actor="tests", now=clock.now)
    look_from(pipeline, clock.now)

    assert tick_until(pipeline, clock.now, clock.now + timedelta(days=2), timedelta(hours=6)) == []

    assert reasons(pipeline) == ["15 of 20 new examples"]
    actions.add_examples(pipeline, lines(100, 5), token="t1", actor="tests", now=clock.now)
    clock.advance(days=3)
    assert tick(pipeline, clock.now) is not None


def test_without_validate_new_examples_are_counted_as_they_are_chosen(made: Any, clock: Clock) -> None:
    stages = tuple(stage for stage in factories.STAGES if stage != "validate")
    pipeline = made(new_examples=10, least=20, stages=stages)
    actions.add_examples(pipeline, lines(0, 15), token="t0", actor="tests", now=clock.now)

    run = tick(pipeline, clock.now)

    assert run is not None and run.occasion["reason"] == "15 new examples >= 10"


def say_how_good(version: ModelVersion, good: int, bad: int, now: datetime) -> None:
    """Feedback of people on so many answers of the version."""
    exchange = {
        "pipeline_id": version.pipeline_id,
        "version": version,
        "host": "shop",
        "arm": "production",
        "status": 200,
    }
    exchange |= {"at": now, "finished_at": now, "latency_ms": 5.0}
    for n in range(good + bad):
        row = Exchange.of(version, request_id=f"r{now:%d%H%M}-{n}", **exchange)
        row.save()
        Feedback.of(version, exchange=row, is_good=n < good, at=now).save()


def test_poor_quality_starts_a_run_once_the_sample_is_large_enough(made: Any, clock: Clock) -> None:
    pipeline = made(quality_below=0.8, quality_min_sample=50)
    version = factories.make_production(pipeline, now=clock.now).model_version
    clock.advance(days=1)
    look_from(pipeline, clock.now)
    say_how_good(version, 30, 19, clock.now)
    assert tick(pipeline, clock.now + SINCE) is None
    assert reasons(pipeline)[-1] == "quality 0.612 on 49 of 50 samples"
    clock.advance(hours=1)
    say_how_good(version, 0, 1, clock.now)
    run = tick(pipeline, clock.now + SINCE)
    assert run is not None
    assert (run.occasion["kind"], run.occasion["reason"]) == ("quality", "quality 0.600 < 0.800, n=50")


def test_a_quality_run_is_followed_by_a_cooldown_which_defers_the_next(made: Any, clock: Clock) -> None:
    pipeline = made(quality_below=0.8, quality_min_sample=50, cooldown_s=48 * 3600)
    version = factories.make_production(pipeline, now=clock.now).model_version
    clock.advance(days=1)
    look_from(pipeline, clock.now)
    say_how_good(version, 30, 30, clock.now)
    run = tick(pipeline, clock.now + SINCE)
    assert run is not None
    ended = clock.advance(hours=1)
    finish(run, ended)
    started = tick_until(pipeline, ended, ended + timedelta(hours=50), timedelta(minutes=10))
    assert [at - ended for at, _run in started] == [timedelta(hours=48)]
    assert "cooldown after a quality-triggered run until 2026-03-06 06:00 Europe/Madrid" in "\n".join(reasons(pipeline))


def test_a_slot_missed_while_a_run_was_live_is_in_the_ledger_and_in_the_run_that_makes_up_for_it(
    made: Any, clock: Clock
) -> None:
    pipeline = made(schedule={"rule": "FREQ=DAILY", "at": "04:00"})
    run = actions.start_run(pipeline, actor="owner", now=clock.now)
    look_from(pipeline, clock.now)
    tick_until(pipeline, clock.now, clock.now + timedelta(days=1), timedelta(minutes=5))
    live = "a run of this pipeline is live"
    slots = ["due 2026-03-04 04:00 Europe/Madrid"]
    assert reasons(pipeline) == [live, f"{live}; deferred: {slots[0]}"]
    finish(run, clock.advance(days=1))

    made_up = tick(pipeline, clock.advance(minutes=10))

    assert made_up is not None
    assert made_up.occasion["reason"] == f"{slots[0]} (held back: {live})"


def test_one_hour_of_many_pipelines_is_spread_and_each_starts_once(made: Any, settings: Any) -> None:
    settings.SCHEDULE_SPREAD_S = 900
    pipeline = made(**FIRST_TUESDAY)
    look_from(pipeline, factories.NOW)
    later = spread_of(pipeline.pk, 900)
    due = datetime(2026, 4, 7, 2, 0, tzinfo=UTC)

    started = tick_until(pipeline, factories.NOW, factories.NOW + timedelta(days=40), timedelta(hours=8))

    assert [at for at, _run in started] == [due + later]
    assert started[0][1].occasion["reason"] == "due 2026-04-07 04:00 Europe/Madrid"


def test_each_not_yet_stands_in_the_ledger_once_until_it_changes(made: Any, clock: Clock) -> None:
    pipeline = made(new_examples=20)
    look_from(pipeline, clock.now)
    tick_until(pipeline, clock.now, clock.now + timedelta(hours=5), timedelta(minutes=5))
    assert reasons(pipeline) == ["0 of 20 new examples"]
    clock.advance(hours=6)
    actions.pause(pipeline, actor="ana@north.example", reason="new catalogue on Monday", now=clock.now)
    tick_until(pipeline, clock.now, clock.now + timedelta(hours=1), timedelta(minutes=5))
    assert reasons(pipeline) == ["0 of 20 new examples", "paused by ana@north.example: new catalogue on Monday"]


def test_what_fell_due_in_a_pause_starts_one_run_after_it(made: Any, clock: Clock) -> None:
    pipeline = made(**FIRST_TUESDAY)
    actions.pause(pipeline, actor="ana", reason="holiday", now=clock.now)
    clock.advance(days=100)
    assert tick_until(pipeline, clock.now, clock.now + timedelta(hours=1), timedelta(minutes=5)) == []

    actions.resume(pipeline, actor="ana", reason="back", now=clock.now)

    (started,) = tick_until(pipeline, clock.now, clock.now + timedelta(hours=1), timedelta(minutes=5))
    assert started[1].occasion["kind"] == "schedule" and started[1].occasion["missed"] >= 1


def test_a_pause_stops_people_too_but_neither_a_live_run_nor_a_rollback(made: Any, clock: Clock) -> None:
    pipeline = made()
    first, second = factories.make_production(pipeline), factories.make_production(pipeline)
    digest = store_of(pipeline.client_id).put_bytes(b"GGUF of v1")
    ModelVersion.objects.filter(run=first).update(status="archived", gguf_digest=digest)
    live = actions.start_run(pipeline, actor="ben", now=clock.now)

    actions.pause(pipeline, actor="ana", reason="audit", now=clock.now)

    live.refresh_from_db()
    assert live.status == "queued" and live.is_live
    back = actions.roll_back(pipeline, to=None, actor="ben", reason="angry users", now=clock.now)
    assert (back.from_version.run, back.to_version.run) == (second, first)
    finish(live, clock.now)
    for force in (False, True):
        with pytest.raises(actions.ActionRefused, match=r"paused by ana: audit\. Resume it"):
            actions.start_run(Pipeline.objects.get(), actor="ben", now=clock.now, reason="now", force=force)


def test_a_pause_that_came_a_moment_before_the_start_wins(made: Any, clock: Clock) -> None:
    pipeline = made(new_examples=1)
    stale = Pipeline.objects.get(pk=pipeline.pk)
    actions.pause(pipeline, actor="ana", reason="audit", now=clock.now)

    with pytest.raises(actions.ActionRefused, match="paused by ana"):
        actions.start_run(stale, actor="ben", now=clock.now)


def test_who_paused_and_resumed_stands_in_the_audit_and_twice_is_refused(made: Any, clock: Clock) -> None:
    pipeline = made()
    actions.pause(pipeline, actor="ana", reason="audit", now=clock.now)
    with pytest.raises(actions.ActionRefused, match="paused by ana: audit"):
        actions.pause(pipeline, actor="ben", reason="mine", now=clock.now)
    actions.resume(pipeline, actor="ben", reason="done", now=clock.now)
    with pytest.raises(actions.ActionRefused, match="not paused"):
        actions.resume(pipeline, actor="ben", reason="done", now=clock.now)

    acts = AuditEvent.objects.filter(verb__startswith="pipeline.").exclude(verb="pipeline.create").order_by("seq")
    assert [(act.verb, act.actor, act.detail["reason"]) for act in acts] == [
        ("pipeline.pause", "ana", "audit"),
        ("pipeline.resume", "ben", "done"),
    ]


def test_while_a_run_is_live_neither_a_trigger_nor_a_person_starts_another(made: Any, clock: Clock) -> None:
    pipeline = made(new_examples=1)
    actions.add_examples(pipeline, lines(0, 2), token="t", actor="tests", now=clock.now)
    first = tick(pipeline, clock.now)
    assert first is not None
    clock.advance(hours=1)
    assert tick(pipeline, clock.now) is None
    assert reasons(pipeline)[-1] == "a run of this pipeline is live"
    with pytest.raises(actions.ActionRefused, match="Run 1 is still live"):
        actions.start_run(pipeline, actor="owner", now=clock.now, reason="now", force=True)


def test_in_a_cooldown_a_person_starts_a_run_only_by_force_and_with_a_reason(made: Any, clock: Clock) -> None:
    pipeline = made()
    cooling = clock.now + timedelta(hours=1)
    PipelineState.objects.filter(pipeline=pipeline).update(cooldown_until=cooling)
    with pytest.raises(actions.ActionRefused, match="Cooling down until 2026-03-03T05:00"):
        actions.start_run(pipeline, actor="owner", now=clock.now)
    with pytest.raises(actions.ActionRefused, match="needs a reason"):
        actions.start_run(pipeline, actor="owner", now=clock.now, force=True)
    run = actions.start_run(pipeline, actor="owner", now=clock.now, force=True, reason="the client asked")
    assert (run.occasion["forced"], run.occasion["reason"]) == (True, "the client asked")


def two_tickers_look_at(pipeline: Pipeline, now: datetime) -> list[PipelineState]:
    """The row as each of two tickers read it at the same moment."""
    look_from(pipeline, now)
    return [PipelineState.objects.select_related("pipeline__revision", "client").get() for _ticker in range(2)]


def test_two_tickers_start_one_run(made: Any, clock: Clock) -> None:
    pipeline = made(**FIRST_TUESDAY)
    clock.now = datetime(2026, 4, 7, 2, 0, 1, tzinfo=UTC)
    first, second = two_tickers_look_at(pipeline, clock.now)
    assert consider(first, clock.now) is not None
    assert consider(second, clock.now) is None
    assert Run.objects.filter(pipeline=pipeline).count() == 1
    assert TriggerDecision.objects.filter(pipeline=pipeline, started=True).count() == 1


def test_a_late_ticker_finds_the_occasion_taken_even_when_its_run_is_over(made: Any, clock: Clock) -> None:
    pipeline = made(**FIRST_TUESDAY)
    clock.now = datetime(2026, 4, 7, 2, 0, 1, tzinfo=UTC)
    first, late = two_tickers_look_at(pipeline, clock.now)
    run = consider(first, clock.now)
    assert run is not None
    finish(run, clock.now)
    look_from(pipeline, clock.now)  # As if nobody had looked: only the occasion's own key is left to stop it.
    assert consider(late, clock.now) is None
    assert Run.objects.filter(pipeline=pipeline).count() == 1


def test_a_schedule_that_is_added_later_makes_up_for_nothing_before_it(made: Any, clock: Clock) -> None:
    pipeline = made()
    clock.advance(days=100)
    body = pipeline.revision.body
    schedule = {"rule": "FREQ=MONTHLY;BYDAY=+1TU", "at": "04:00:00"}
    change_settings(pipeline, body | {"triggers": body["triggers"] | {"schedule": schedule}}, "owner", clock.now)
    look_from(pipeline, clock.now)
    assert tick(pipeline, clock.now) is None
    assert reasons(pipeline) == ["next schedule 2026-07-07 04:00 Europe/Madrid"]
