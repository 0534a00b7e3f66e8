"""The moment in which a version comes into the traffic: what people did just before it counts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils.timezone import now

from pipelines import actions
from pipelines.engine import kernel
from pipelines.heavy.retiring.choice import needed
from pipelines.keeping import versions_of
from pipelines.models import Notice, Placement, Rollout, Run
from pipelines.stages import deploy
from tenants import freezing
from tenants.models import Host, Pipeline
from tests.flow.test_line import later, start
from tests.flow.test_rollback import lived, route_of, version

ANOTHER = (
    "production was v2 when it was measured and is v1 now; start a new run, or approve to roll it out all the same"
)


@pytest.fixture
def placed(pipeline: Pipeline, add_rows: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> Run:
    """The run of v3 beside v2: its version stands on its hosts, and an error keeps its canary from beginning."""
    lived(pipeline, add_rows, 2)
    add_rows(5000, 30)
    with monkeypatch.context() as patched:
        patched.setattr(deploy.canary, "begin", broken)
        run = start(pipeline)
    assert (run.reason, Rollout.objects.get(run=run).status) == ("trying again: no space left", "placed")
    return run


def broken(*_: Any) -> None:
    raise RuntimeError("no space left")


def go_back(pipeline: Pipeline) -> None:
    actions.roll_back(pipeline, to=version(1), actor="owner", reason="v2 is rude", now=now())


def test_a_version_that_was_taken_back_never_returns_with_the_canary_that_was_to_go_beside_it(
    pipeline: Pipeline, placed: Run
) -> None:
    go_back(pipeline)
    run = later(placed, 600)
    assert route_of(pipeline) == (1, None, 0)
    assert (run.status, run.reason) == ("held", ANOTHER)
    assert Notice.objects.filter(run=run, kind="held").exists(), "a person is asked, and told"
    assert [version(n).status for n in (1, 2, 3)] == ["production", "rolled_back", "candidate"]
    actions.approve(run, actor="owner", reason="v2 was v1 with a typo", now=now())
    assert route_of(pipeline) == (1, 3, 500)
    assert Rollout.objects.get(run=run).beside == version(1)


def test_an_undisturbed_canary_begins_after_its_retry(pipeline: Pipeline, placed: Run) -> None:
    assert later(placed, 600).reason == "canary at 5 %"
    assert route_of(pipeline) == (2, 3, 500)


def test_a_version_judged_against_what_is_not_in_production_any_more_is_held_for_a_person(
    pipeline: Pipeline, add_rows: Callable[..., None]
) -> None:
    lived(pipeline, add_rows, 2)
    stop = freezing.freeze(pipeline, actor="owner", reason="year end", now=now())
    add_rows(5000, 30)
    run = start(pipeline)
    go_back(pipeline)
    freezing.lift(stop, actor="owner", reason="done", now=now())
    run = later(run, 300)
    assert (run.status, run.stage) == ("held", "deploy")
    assert run.reason == ANOTHER
    assert route_of(pipeline) == (1, None, 0)
    actions.approve(run, actor="owner", reason="v2 was v1 with a typo", now=now())
    assert route_of(pipeline) == (1, 3, 500)


def test_an_approval_for_another_reason_does_not_stand_for_the_version_beside(
    pipeline: Pipeline, add_rows: Callable[..., None]
) -> None:
    lived(pipeline, add_rows, 2)
    Host.objects.update(drained_at=now())
    add_rows(5000, 30)
    run = start(pipeline)
    assert "every host is drained" in run.reason
    go_back(pipeline)
    Host.objects.update(drained_at=None)
    actions.approve(run, actor="owner", reason="it takes versions again", now=now())
    run = Run.objects.get(pk=run.pk)
    assert (run.status, run.reason) == ("held", ANOTHER)


def test_a_cancel_during_the_look_that_opens_the_canary_leaves_nothing_in_the_traffic(
    pipeline: Pipeline, placed: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = deploy.held_back

    def meanwhile(run: Run, *rest: Any) -> Any:
        monkeypatch.setattr(deploy, "held_back", original)
        actions.cancel(run, actor="owner", reason="enough", now=now())
        return original(run, *rest)

    monkeypatch.setattr(deploy, "held_back", meanwhile)
    run = later(placed, 600)
    assert (run.status, run.reason) == ("cancelled", "cancelled by owner: enough")
    assert route_of(pipeline) == (2, None, 0)
    assert Rollout.objects.get(run=run).status == "retired"


def test_a_cancel_after_the_canary_has_opened_is_refused(
    pipeline: Pipeline, placed: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = kernel.settle

    def meanwhile(run: Run, *rest: Any) -> None:
        with pytest.raises(actions.ActionRefused, match="roll it back instead"):
            actions.cancel(run, actor="owner", reason="enough", now=now())
        original(run, *rest)

    monkeypatch.setattr(kernel, "settle", meanwhile)
    run = later(placed, 600)
    assert (run.status, route_of(pipeline)) == ("waiting", (2, 3, 500))


def test_a_worker_that_lost_its_run_opens_nothing(
    pipeline: Pipeline, placed: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = deploy.held_back

    def stalled(run: Run, *rest: Any) -> Any:
        Run.objects.filter(pk=run.pk).update(version=run.version + 1)
        return original(run, *rest)

    monkeypatch.setattr(deploy, "held_back", stalled)
    later(placed, 600)
    assert route_of(pipeline) == (2, None, 0)
    assert Rollout.objects.get(run=placed).status == "placed"


def test_a_version_that_is_turned_down_after_it_was_placed_leaves_no_rollout_behind(
    pipeline: Pipeline, placed: Run
) -> None:
    go_back(pipeline)
    run = later(placed, 600)
    assert (run.status, run.reason) == ("held", ANOTHER)
    actions.reject(run, actor="owner", reason="no longer wanted", now=now())
    assert (version(3).status, Rollout.objects.get(run=run).status) == ("rejected", "retired")
    Rollout.objects.filter(run=run).update(status="placed")  # As it was left by older programs.
    Placement.objects.filter(version=version(3)).delete()
    assert version(3).pk not in needed(pipeline, now() + timedelta(days=2))
    assert not next(kept for kept in versions_of(pipeline.client_id)[pipeline.pk] if kept.number == 3).is_in_use
