"""A held run whose version answers traffic: its guardrails go on, and nothing else happens until a person decides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.conf import settings
from django.utils.timezone import now

from agency.mail.compose import compose
from pipelines import actions
from pipelines.domain.canary import Move
from pipelines.domain.monitor import MonitorMove
from pipelines.engine import kernel
from pipelines.models import Notice, Rollback, Rollout, Route, Run, RunEvent
from pipelines.plan import PLAN
from pipelines.shipping import canary as looks
from pipelines.shipping import watch
from pipelines.shipping.alias.flip import DIRECT, NOTHING_MORE, too_little_shown
from tenants.models import Host, Pipeline
from tests.conftest import Clock
from tests.flow.test_line import later
from tests.flow.test_notices import BAD, answers, rollout
from tests.flow.test_rollout import LONGEST_S, answered, canary, fail, host
from tests.flow.test_watch import a_worse_day

__all__ = ("canary", "host", "rollout")
NO_REPLAY = "replay impossible: approve to go on, or roll back"


def at_its_hour(run: Run) -> datetime:
    """When the ticker wakes the held run next."""
    due_at = Run.objects.get(pk=run.pk).due_at
    assert due_at is not None, "nobody looks at it until a person does"
    return due_at


def looked_at(run: Run) -> Run:
    """The run after the look that is due next."""
    at = at_its_hour(run)
    assert kernel.advance(run.pk, PLAN, lambda: at)
    return Run.objects.get(pk=run.pk)


@pytest.fixture
def held(canary: Any) -> Run:
    """At 25 %, held because a day did not bring the evidence."""
    run = later(later(canary(prompts=0), 1), LONGEST_S + 5)
    assert (run.status, run.reason.endswith(NO_REPLAY)) == ("held", True)
    return run


def fail_now(run: Run) -> None:
    fail(run, at=at_its_hour(run) - timedelta(seconds=5))


def story(run: Run) -> list[tuple[Any, ...]]:
    told = Notice.objects.filter(run=run).values_list("key", "due_at", "error").order_by("id")
    return [*RunEvent.objects.filter(run=run).values_list("seq", "to_status", "reason"), *told]


def test_a_held_canary_that_fails_is_taken_back_at_once(pipeline: Pipeline, held: Run) -> None:
    assert Route.objects.get(pipeline=pipeline).candidate_bp == 2500
    fail_now(held)
    run = looked_at(held)
    assert (run.status, run.due_at) == ("rolled_back", None)
    assert Route.objects.get(pipeline=pipeline).candidate is None
    assert Rollback.objects.get().decided_by == "canary analysis"


def test_looks_that_find_nothing_leave_a_held_run_as_it_is(pipeline: Pipeline, held: Run) -> None:
    before, version = story(held), held.version
    for _ in range(3):
        looked_at(held)
    run = Run.objects.get(pk=held.pk)
    assert story(run) == before
    assert (run.status, run.reason, run.version, run.retries) == ("held", held.reason, version, 0)
    actions.approve(run, actor="owner", reason="looked at by hand", now=now() + timedelta(minutes=9))
    assert later(run, 600).stage == "monitor"


def test_what_is_within_the_margin_is_not_told_of_a_held_run(rollout: Rollout, clock: Clock) -> None:
    answers(rollout, rollout.version, clock.now, bad=BAD)
    answers(rollout, rollout.previous, clock.now, bad=0)
    rollout.run.status = "held"
    decision = looks.look(rollout, rollout.run.revision.settings, clock.advance(minutes=10))
    assert decision.notices and not Notice.objects.exists()


def test_what_errors_held_is_guarded_too(pipeline: Pipeline, canary: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run, original = canary(prompts=0), looks.look

    monkeypatch.setattr(looks, "look", broken)
    for n in range(kernel.MAX_CONSECUTIVE_ERRORS + 1):
        run = later(run, 1000 * (n + 1))
    assert (run.status, run.reason) == ("held", "no space left (tried 5 times)")
    before = story(run)
    for _ in range(7):
        at = at_its_hour(run)
        run = looked_at(run)
        assert (run.status, run.retries, run.due_at) == ("held", 0, at + timedelta(seconds=settings.LEASE_S))
    assert story(run) == before
    monkeypatch.setattr(looks, "look", original)
    fail_now(run)
    assert looked_at(run).status == "rolled_back"


def broken(*_: Any) -> None:
    raise RuntimeError("no space left")


@pytest.mark.parametrize("stage", ["deploy", "monitor"])
def test_a_live_version_whose_run_is_held_is_watched_all_the_same(rollout: Rollout, clock: Clock, stage: str) -> None:
    """In deploy: its name did not move on every host. In monitor: errors, or a halt."""
    a_worse_day(rollout)
    Run.objects.filter(pk=rollout.run_id).update(stage=stage, status="held", due_at=clock.advance(hours=1))
    run = looked_at(rollout.run)
    assert run.status == "rolled_back" and "replay impossible" in run.reason
    assert Rollback.objects.get().decided_by == "monitor"


def test_a_live_version_is_halted_where_no_enabled_host_holds_the_one_before(rollout: Rollout, clock: Clock) -> None:
    """And taken back as soon as one does."""
    a_worse_day(rollout)
    Host.objects.update(is_enabled=False)
    Run.objects.filter(pk=rollout.run_id).update(due_at=clock.advance(hours=1))
    run = looked_at(rollout.run)
    assert run.status == "held" and "; v1 stands on no enabled host: " in run.reason
    assert Rollout.objects.get(run=run).status == "halted"
    assert looked_at(run).reason == run.reason and not Notice.objects.filter(kind="rollback_stuck").exists()
    Host.objects.update(is_enabled=True)
    assert looked_at(run).status == "rolled_back"
    assert Rollback.objects.get().target == rollout.previous


def test_whoever_lets_a_version_stay_that_has_no_way_back_is_not_asked_again(rollout: Rollout, clock: Clock) -> None:
    """What fired stays fired: each look would ask the same. It goes back as soon as it can."""
    a_worse_day(rollout)
    Host.objects.update(is_enabled=False)
    Run.objects.filter(pk=rollout.run_id).update(due_at=clock.advance(hours=1))
    actions.approve(looked_at(rollout.run), actor="owner", reason="v1 is gone", now=clock.now)
    run = looked_at(looked_at(rollout.run))
    assert (run.status, Rollout.objects.get(run=run).status) == ("waiting", "live")
    assert "; v1 stands on no enabled host: " in run.reason and run.reason.endswith("a person let it stay")
    Run.objects.filter(pk=run.pk).update(due_at=clock.advance(hours=30))
    ended = looked_at(run)
    assert (ended.status, ended.stages.get(stage="monitor").output["is_conclusive"]) == ("succeeded", False)


def test_a_version_that_was_let_stay_goes_back_as_soon_as_it_can(rollout: Rollout, clock: Clock) -> None:
    a_worse_day(rollout)
    Host.objects.update(is_enabled=False)
    Run.objects.filter(pk=rollout.run_id).update(due_at=clock.advance(hours=1))
    actions.approve(looked_at(rollout.run), actor="owner", reason="v1 is gone", now=clock.now)
    run = looked_at(rollout.run)
    Host.objects.update(is_enabled=True)
    assert looked_at(run).status == "rolled_back"


def test_whoever_was_asked_about_a_held_run_hears_once_that_its_version_has_no_way_back(
    rollout: Rollout, clock: Clock
) -> None:
    a_worse_day(rollout)
    Host.objects.update(is_enabled=False)
    Run.objects.filter(pk=rollout.run_id).update(status="held", reason="why", due_at=clock.advance(hours=1))
    run = looked_at(looked_at(rollout.run))
    assert (run.status, run.reason) == ("held", "why")
    told = Notice.objects.get(run=run, kind="rollback_stuck")
    assert "; v1 stands on no enabled host: " in told.detail["reason"]
    assert compose(told).subject


def test_a_quiet_live_version_stays_held(rollout: Rollout, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    Run.objects.filter(pk=rollout.run_id).update(status="held", reason="why", due_at=clock.advance(hours=30))
    assert watch.look(rollout, rollout.run.revision.settings, clock.now).move == "end"
    run = looked_at(rollout.run)
    assert (run.status, run.reason, run.due_at) == ("held", "why", clock.now + timedelta(seconds=300))


def test_a_decision_that_comes_before_the_look_stands(pipeline: Pipeline, held: Run) -> None:
    fail_now(held)
    at = at_its_hour(held)
    looking = kernel.claim(held.pk, at)
    assert looking is not None
    actions.approve(Run.objects.get(pk=held.pk), actor="owner", reason="go on", now=at)
    kernel.guard(looking, PLAN, at)
    run = Run.objects.get(pk=held.pk)
    assert run.approvals["deploy"][-1]["reason"] == "go on"
    if run.status == "queued":  # Else the approval's own wake-up was faster.
        assert kernel.advance(run.pk, PLAN, lambda: at)
    assert Run.objects.get(pk=held.pk).status == "rolled_back", "the stage looks before it goes on"


@pytest.fixture
def lose_the_worker(monkeypatch: pytest.MonkeyPatch) -> Callable[[Run, datetime], None]:
    """Whoever looks at the run dies after the stage's own commit and before its answer is settled."""

    def lose(run: Run, at: datetime) -> None:
        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr(kernel, "settle", killed)
            kernel.advance(run.pk, PLAN, lambda: at)

    return lose


def killed(*_: Any) -> None:
    raise KeyboardInterrupt


def assert_held_again(run: Run) -> None:
    """Whoever takes the lost run over finds the halt, and no approval: a person must look."""
    assert Rollout.objects.get(run=run).status == "halted"
    at = at_its_hour(run)
    kernel.advance(run.pk, PLAN, lambda: at)
    run = Run.objects.get(pk=run.pk)
    assert run.status == "held" and run.reason.startswith("production fails too")
    assert Rollout.objects.get(run=run).status == "halted"


def test_a_halted_canary_outlives_its_worker(
    canary: Any, monkeypatch: pytest.MonkeyPatch, lose_the_worker: Callable[[Run, datetime], None]
) -> None:
    run, original = canary(prompts=0), looks.look
    halts = {"move": Move.HALT, "sentence": "production fails too"}
    with monkeypatch.context() as patched:
        patched.setattr(looks, "look", lambda *given: replace(original(*given), **halts))
        lose_the_worker(run, at_its_hour(run))
    assert_held_again(run)
    actions.approve(Run.objects.get(pk=run.pk), actor="owner", reason="it was the wire", now=now())
    assert Rollout.objects.get(run=run).status == "stepping", "an approval after the halt wakes it"


def test_a_halted_live_version_outlives_its_worker(
    rollout: Rollout,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    lose_the_worker: Callable[[Run, datetime], None],
) -> None:
    Rollout.objects.update(previous=None)
    original = watch.look
    falls = {"move": MonitorMove.ROLL_BACK, "sentence": "production fails too"}
    Run.objects.filter(pk=rollout.run_id).update(due_at=clock.advance(hours=1))
    with monkeypatch.context() as patched:
        patched.setattr(watch, "look", lambda *given: replace(original(*given), **falls))
        lose_the_worker(rollout.run, clock.now)
    assert_held_again(rollout.run)


def test_two_workers_look_at_a_held_run_once(held: Run) -> None:
    at = at_its_hour(held)
    assert kernel.claim(held.pk, at) is not None
    assert kernel.claim(held.pk, at) is None


def test_a_held_run_without_traffic_is_not_looked_at_again(pipeline: Pipeline, canary: Any) -> None:
    run = canary(prompts=0)
    Rollout.objects.filter(run=run).update(status="placed", step_started_at=None)
    Run.objects.filter(pk=run.pk).update(status="held", due_at=now())
    assert looked_at(run).due_at is None


@pytest.fixture
def at_25(canary: Any) -> Run:
    """A second later, and within its half minute."""
    return later(canary(prompts=0), 1)


def sick(run: Run, seconds: float) -> datetime:
    """Production fails on the wire so many seconds from now."""
    at, rollout = now() + timedelta(seconds=seconds), Rollout.objects.get(run=run)
    assert rollout.previous is not None
    answered(rollout, rollout.previous, at, is_failing=True)
    return at


def approved(run: Run, seconds: float, reason: str) -> Run:
    """By a person, so many seconds from now; and looked at a second later."""
    actions.approve(run, actor="owner", reason=reason, now=now() + timedelta(seconds=seconds))
    return later(run, seconds + 1)


def test_an_approval_after_a_halt_brings_nothing_to_all_the_traffic(pipeline: Pipeline, at_25: Run) -> None:
    sick(at_25, 2)
    run = later(at_25, 3)
    assert (run.status, "production fails" in run.reason) == ("held", True)
    assert approved(run, 5, "go on with the canary").reason == "canary resumed"
    run = later(run, 7)
    assert (run.status, run.reason) == ("waiting", "canary at 25 %")
    run = later(run, LONGEST_S + 10)
    assert (run.status, run.reason.endswith(NO_REPLAY)) == ("held", True)
    assert Route.objects.get(pipeline=pipeline).candidate_bp == 2500
    assert approved(run, LONGEST_S + 20, "looked at by hand").stage == "monitor"


def test_an_approval_after_errors_brings_nothing_to_all_the_traffic(
    at_25: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, original = at_25, looks.look
    monkeypatch.setattr(looks, "look", broken)
    for n in range(kernel.MAX_CONSECUTIVE_ERRORS + 1):
        run = later(run, 1000 * (n + 1))
    assert run.reason == "no space left (tried 5 times)"
    monkeypatch.setattr(looks, "look", original)
    run = approved(run, 6000, "there is room again")
    assert (run.status, run.reason.endswith(NO_REPLAY)) == ("held", True)


def test_a_halted_canary_that_is_approved_goes_on_though_the_errors_are_recent(at_25: Run) -> None:
    at, rollout = sick(at_25, 2), Rollout.objects.get(run=at_25)
    assert rollout.previous is not None
    run = later(at_25, 3)
    assert run.status == "held"
    answered(rollout, rollout.previous, at + timedelta(seconds=1), is_failing=False)
    run = approved(run, 5, "its cable is in again")
    assert (run.status, Rollout.objects.get(run=run).status) == ("waiting", "stepping")
    assert later(run, 7).reason == "canary at 25 %", "what was answered for halts it no more"
    sick(run, 8)
    assert later(run, 9).status == "held", "what fails from then on does"


@pytest.mark.parametrize(("asked", "is_enough"), [("no space left (tried 5 times)", False), (NOTHING_MORE, True)])
def test_without_shares_only_an_approval_of_the_little_that_is_shown_is_enough(
    rollout: Rollout, clock: Clock, asked: str, is_enough: bool
) -> None:
    entry = {"by": "owner", "reason": "go on", "at": clock.advance(hours=1).isoformat(), "asked": asked}
    rollout.run.stage, rollout.run.approvals = "deploy", {"deploy": [entry]}
    assert (too_little_shown(rollout, None, DIRECT) is None) == is_enough
