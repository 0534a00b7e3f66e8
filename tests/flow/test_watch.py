"""The monitor beyond its deck: pairs confirm an alarm, a holdback needs none; and its charts."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from pipelines.domain.histogram import Histogram
from pipelines.models import Body, Check, Exchange, Job, ReplayPair, Rollout, Route, Traffic
from pipelines.reports.shipping.watch import watch_page
from pipelines.shipping import watch
from pipelines.shipping.rollback import leaving
from pipelines.stages import monitor as stage
from tenants.models import Client
from tenants.pipeline_settings import PipelineSettings
from tests import factories
from tests.conftest import Clock
from tests.flow.test_notices import KEYS, answers, rollout

__all__ = ["rollout"]
PAIRS = 200


def settings_with(rollout: Rollout, **parts: Any) -> PipelineSettings:
    body = rollout.run.revision.settings.model_dump(mode="json")
    return PipelineSettings.model_validate(factories.merged(body, parts))


def a_worse_day(rollout: Rollout) -> None:
    """What the deck says of the live traffic: a tenth of it is bad where nothing was."""
    answers(rollout, rollout.previous, rollout.went_live_at - timedelta(hours=2), bad=0)
    Exchange.objects.update(rollout=None)
    answers(rollout, rollout.version, rollout.went_live_at, bad=KEYS // 10)


def replayed(rollout: Rollout, now: datetime, bad: int) -> None:
    """The pairs that a replay would have left, so many of them bad on the new version only; and its job."""
    exchange = Exchange.objects.filter(version=rollout.previous).first()
    assert exchange is not None
    shared = {"pipeline": rollout.pipeline, "request": "{}", "at": now, "prompt_digest": "d"}
    body = Body.of(rollout, exchange=exchange, **shared)
    body.save()
    good = {"text": "billing", "latency_ms": 9.0, "is_error": False, "is_bad": False}
    rows = [
        ReplayPair.of(
            rollout, rollout=rollout, body=body, phase="monitor", prompt_digest=f"d{n}", at=now, production=good,
            candidate=good | {"is_bad": n < bad},
        )
        for n in range(PAIRS)
    ]  # fmt: skip
    ReplayPair.objects.bulk_create(rows)
    run = rollout.run
    fields = {"kind": "replay:watch", "queue": "push", "status": "succeeded", "created_at": now, "finished_at": now}
    Job.of(run, run=run, stage=run.stage, **fields).save()


@pytest.mark.parametrize(("bad", "move"), [(0, "continue"), (40, "roll_back")])
def test_pairs_tell_a_worse_version_from_other_traffic(rollout: Rollout, clock: Clock, bad: int, move: str) -> None:
    a_worse_day(rollout)
    replayed(rollout, clock.now, bad)
    decision = watch.look(rollout, settings_with(rollout), clock.advance(hours=1))
    assert decision.move == move
    assert f"200 pairs: bad output {bad / PAIRS:.3f} against 0.000" in decision.sentence
    if not bad:
        assert "pairs agree: the traffic changed" in decision.notices[-1].sentence


def test_while_pairs_are_asked_for_the_version_stays(rollout: Rollout, clock: Clock) -> None:
    a_worse_day(rollout)
    replayed(rollout, clock.now, bad=0)
    ReplayPair.objects.all().delete()
    Job.objects.filter(kind="replay:watch").update(status="running", finished_at=None, due_at=clock.now)
    decision = watch.look(rollout, settings_with(rollout), clock.advance(hours=1))
    assert decision.move == "confirm"
    assert Check.objects.get(rollout=rollout, phase="replay").decision == "confirm"
    assert not Check.objects.filter(rollout=rollout, phase="monitor", number=12).exists()


def test_without_a_replay_the_deck_decides(rollout: Rollout, clock: Clock) -> None:
    a_worse_day(rollout)
    decision = watch.look(rollout, settings_with(rollout), clock.advance(hours=1))
    assert decision.move == "roll_back"
    assert "replay impossible" in decision.sentence


def test_a_holdback_is_a_second_baseline_that_needs_no_pairs(rollout: Rollout, clock: Clock) -> None:
    chosen = settings_with(rollout, monitor={"holdback_share": 0.2})
    watch.hold_back(rollout, chosen, clock.now)
    route = Route.objects.select_related("production", "candidate").get(pipeline=rollout.pipeline)
    assert (route.production, route.candidate, route.candidate_bp) == (rollout.previous, rollout.version, 8000)
    answers(rollout, rollout.version, rollout.went_live_at, bad=KEYS // 5)
    answers(rollout, rollout.previous, rollout.went_live_at + timedelta(seconds=1), bad=0)
    decision = watch.look(rollout, chosen, clock.advance(hours=1))
    assert decision.move == "roll_back"
    assert "against the holdback of the same hours" in decision.sentence


def test_whatever_one_goes_back_to_it_is_the_watched_version_that_leaves(rollout: Rollout, clock: Clock) -> None:
    watch.hold_back(rollout, settings_with(rollout, monitor={"holdback_share": 0.2}), clock.now)
    rollout.version.status = "production"
    rollout.version.save()
    route = Route.objects.select_related("production", "candidate").get(pipeline=rollout.pipeline)
    assert rollout.previous is not None
    older = factories.make_production(factories.make_pipeline(rollout.client, "other")).model_version
    assert leaving(route, rollout.previous) == leaving(route, older) == rollout.version


def test_the_holdback_ends_with_the_watch(rollout: Rollout, clock: Clock) -> None:
    watch.hold_back(rollout, settings_with(rollout, monitor={"holdback_share": 0.2}), clock.now)
    given: Any = type("Given", (), {"settings": settings_with(rollout)})()
    stage.run(rollout.run, given, clock.advance(hours=25))
    route = Route.objects.get(pipeline=rollout.pipeline)
    assert (route.production, route.candidate) == (rollout.version, None)


def test_the_page_tells_slow_answers_that_are_only_drawn_from_those_that_are_judged(
    rollout: Rollout, clock: Clock
) -> None:
    chosen = settings_with(rollout, monitor={"holdback_share": 0.2})
    watch.look(rollout, chosen, clock.advance(minutes=5))
    young = watch_page(rollout, chosen)
    assert [line.words for line in young.guardrails] == ["errors", "bad output"] and not young.is_slow_judged

    watch.hold_back(rollout, chosen, clock.now)
    answers(rollout, rollout.version, clock.now, bad=0)
    answers(rollout, rollout.previous, clock.now + timedelta(seconds=1), bad=0)
    watch.look(rollout, chosen, clock.advance(hours=1))
    beside = [line.words for line in watch_page(rollout, chosen).guardrails[2:]]
    assert beside == [
        f"{words} (beside the share that is held back)" for words in ("errors", "slow answers", "bad output")
    ]


def test_the_charts_show_the_version_over_the_band_of_the_one_before(rollout: Rollout, in_acorn: Client) -> None:
    def minute(version: Any, at: datetime, bad: int) -> None:
        times = Histogram.of([20.0] * 95 + [70_000.0] * 5).to_json()
        fields = {"host": "shop", "arm": "production", "minute": at, "requests": 100, "bad": bad, "latency": times}
        Traffic.of(rollout, pipeline=rollout.pipeline, version=version, **fields).save()

    minute(rollout.previous, rollout.created_at - timedelta(hours=2), 10)
    for hour in range(3):
        minute(rollout.version, rollout.went_live_at + timedelta(hours=hour, minutes=5), 20 + hour)
    page = watch_page(rollout, rollout.run.revision.settings)
    by_words = {chart.words: chart for chart in page.charts}
    bad, slow = by_words["bad output"], by_words["slow answers"]
    assert (bad.live, bad.baseline) == (pytest.approx(0.21), pytest.approx(0.10))
    assert (slow.live, slow.baseline) == (pytest.approx(0.05), pytest.approx(0.05))
    assert [title for _x, _y, title in bad.dots] == ["20.0 %", "21.0 %", "22.0 %"]
    assert len(bad.band.split()) == 6 and not page.is_same_hours
    assert page.requests == 300
