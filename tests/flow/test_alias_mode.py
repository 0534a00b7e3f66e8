"""Applications that call hosts directly: a replay decides, a name moves by copy, probes watch, a copy takes it back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.utils.timezone import now

from agency.portal.decisions import offered_of_rollout
from agency.portal.views.runs import way_out
from pipelines import actions, plan
from pipelines.engine.jobs import work_on
from pipelines.heavy import restore
from pipelines.hosts import HostDown
from pipelines.hosts.fake import FakeHost
from pipelines.models import Check, Job, ReplayPair, Rollback, Rollout, Run
from pipelines.reports.runs import run_page
from pipelines.reports.shipping.rollout import rollout_panel
from tenants import actions as ground
from tenants.models import Pipeline
from tests import factories
from tests.flow.test_line import later, start
from tests.flow.test_rollback import version

QUESTIONS = 60


@pytest.fixture
def direct(unwatched: Pipeline, shop: FakeHost, monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    """In alias mode, with a held-out set, a short watch, and the jobs that ask hosts."""
    for kind, handler in {"alias": restore.point_aliases, "restore": restore.work}.items():
        monkeypatch.setitem(plan.JOBS, kind, handler)
    monkeypatch.setattr(restore, "WATCH_S", 0.0)
    body = unwatched.settings.model_dump(mode="json")
    body |= {"stages": factories.STAGES, "monitor": body["monitor"] | {"duration_s": 60}}
    body["rollout"] |= {"mode": "alias"}
    body["criteria"]["output"] = {"kind": "text"}
    ground.change_settings(unwatched, body, "tests", now(), "direct callers")
    actions.put_set(unwatched, "heldout", cases(), actor="tests", note="asked", now=now())
    unwatched.refresh_from_db()
    return unwatched


def cases() -> list[dict[str, Any]]:
    asked = [f"held out {n} question {n} of its own {n}" for n in range(QUESTIONS)]
    said = {"check": "label", "expected": {"label": "billing"}}
    return [{"id": f"c{n}", "messages": [{"role": "user", "content": text}], **said} for n, text in enumerate(asked)]


def first(pipeline: Pipeline, add_rows: Callable[..., None]) -> Run:
    """v1, promoted by a person and through its watch."""
    add_rows(0, 30)
    run = start(pipeline)
    actions.approve(run, actor="owner", reason="looks right", now=now())
    return through(run)


def through(run: Run) -> Run:
    run = Run.objects.get(pk=run.pk)
    for _ in range(8):
        if not run.is_live or run.status == "held":
            return run
        run = later(run, 400)
        for job in Job.objects.filter(status="queued"):
            work_on(job.pk, plan.JOBS, lambda due_at=job.due_at: due_at)
    return Run.objects.get(pk=run.pk)


def alias_of(shop: FakeHost, pipeline: Pipeline) -> str:
    """The version that the name stands for on the host."""
    name = f"deploy.invalid/{pipeline.client.slug}/support"
    tags = {tag.name: tag.digest for tag in shop.tags()}
    return next(tag for tag in ("v1", "v2") if tags.get(f"{name}:{tag}") == tags[f"{name}:production"])


def test_a_replay_of_held_out_questions_decides_and_the_name_moves(
    direct: Pipeline, add_rows: Callable[..., None], shop: FakeHost
) -> None:
    first(direct, add_rows)
    assert alias_of(shop, direct) == "v1"
    add_rows(1000, 30)
    run = start(direct)
    run = through(run)
    rollout = Rollout.objects.get(run=run)
    pairs = ReplayPair.objects.filter(rollout=rollout, phase="canary")
    assert pairs.count() == QUESTIONS and all(pair.body is None and pair.asked["messages"] for pair in pairs)
    if run.status == "held":  # 60 pairs do not exclude ten points; a person may say that they are enough.
        assert "applications call the hosts directly" in run.reason and alias_of(shop, direct) == "v1"
        actions.approve(run, actor="owner", reason="enough for us", now=now())
        run = through(run)
    assert alias_of(shop, direct) == "v2"
    assert (run.status, run.verdict) == ("succeeded", "succeeded"), run.reason
    probed = Check.objects.filter(rollout=rollout, phase="probe")
    assert probed.exists() and all(check.decision == "continue" for check in probed)


def test_a_rollback_copies_the_name_back_and_counts_until_it_has_moved(
    direct: Pipeline, add_rows: Callable[..., None], shop: FakeHost
) -> None:
    first(direct, add_rows)
    add_rows(1000, 30)
    run = through(start(direct))
    if run.status == "held":
        actions.approve(run, actor="owner", reason="enough for us", now=now())
        through(run)
    made = actions.roll_back(direct, to=None, actor="owner", reason="a client complained", now=now())
    made = Rollback.objects.get(pk=made.pk)
    assert alias_of(shop, direct) == "v1" and made.hosts == {"shop": "ok"}
    assert made.seconds is not None and made.seconds > 0


def test_a_name_that_cannot_move_holds_the_run_and_an_approval_tries_again(
    direct: Pipeline, add_rows: Callable[..., None], shop: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(plan.JOBS, "alias", _refused)
    add_rows(0, 30)
    run = start(direct)
    actions.approve(run, actor="owner", reason="looks right", now=now())
    run = Run.objects.get(pk=run.pk)
    Job.objects.filter(kind="alias").update(status="failed", error="shop: the disk is full", due_at=None)
    run = later(run, 400)
    assert run.status == "held" and "the disk is full; approve to try again" in run.reason
    monkeypatch.setitem(plan.JOBS, "alias", restore.point_aliases)
    actions.approve(run, actor="owner", reason="there is room again", now=now())
    assert alias_of(shop, direct) == "v1" and through(run).status == "succeeded"


def _refused(work: Any) -> dict[str, Any]:
    from pipelines.engine.jobs import JobFailed

    raise JobFailed("shop: the disk is full")


def test_a_job_that_points_late_finds_out_and_points_back(
    direct: Pipeline, add_rows: Callable[..., None], shop: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rollback is committed, and its own job through, between this job's look and its copy."""
    first(direct, add_rows)
    add_rows(1000, 30)
    late: list[str] = []
    real = FakeHost.copy

    def overtaken(host: FakeHost, source: str, destination: str) -> None:
        if source.endswith(":v2") and not late:
            late.append(source)
            actions.roll_back(direct, to=version(1), actor="owner", reason="at once", now=now())
        real(host, source, destination)

    monkeypatch.setattr(FakeHost, "copy", overtaken)
    run = through(start(direct))
    if run.status == "held":
        actions.approve(run, actor="owner", reason="enough for us", now=now())
        through(run)
    assert late and alias_of(shop, direct) == "v1"


def test_probes_take_back_a_version_that_a_host_no_longer_answers_with(
    direct: Pipeline, add_rows: Callable[..., None], shop: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    first(direct, add_rows)
    add_rows(1000, 30)
    real = FakeHost.chat

    def broken(host: FakeHost, name: str, *args: Any, **more: Any) -> Any:
        answer = real(host, name, *args, **more)
        return answer if not name.endswith(":production") else type(answer)(**{**_fields(answer), "text": " "})

    monkeypatch.setattr(FakeHost, "chat", broken)
    run = through(start(direct))
    if run.status == "held":
        actions.approve(run, actor="owner", reason="enough for us", now=now())
        run = through(run)
    assert (run.status, run.stage) == ("rolled_back", "monitor")
    assert "none of 5 probes was answered as it should be on shop" in run.reason
    assert alias_of(shop, direct) == "v1"


def _fields(answer: Any) -> dict[str, Any]:
    return {name: getattr(answer, name) for name in answer.__dataclass_fields__}


def test_a_halted_watch_that_is_approved_asks_its_hosts_anew(
    direct: Pipeline, add_rows: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At its last look, with no later one that would ask them."""
    add_rows(0, 30)
    run = start(direct)
    actions.approve(run, actor="owner", reason="looks right", now=now())
    with monkeypatch.context() as patched:
        patched.setattr(FakeHost, "chat", _down)
        run = through(run)
    assert (run.status, run.stage, "look at the host" in run.reason) == ("held", "monitor", True)
    assert Job.objects.filter(run=run, kind="probe:50").exists()
    actions.approve(run, actor="owner", reason="it runs again", now=now())
    run = through(run)
    assert (run.status, Rollout.objects.get(run=run).status) == ("succeeded", "live"), run.reason


def _down(*_: Any, **__: Any) -> Any:
    raise HostDown("nobody answers")


def test_a_version_halted_at_100_percent_is_neither_promoted_again_nor_offered_to_be(
    direct: Pipeline, add_rows: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    first(direct, add_rows)
    add_rows(1000, 30)
    run = through(start(direct))
    if run.status == "held":
        actions.approve(run, actor="owner", reason="enough for us", now=now())
    monkeypatch.setattr(FakeHost, "chat", _down)
    run = through(run)
    rollout = Rollout.objects.get(run=run)
    assert (run.status, rollout.status, rollout.version.status) == ("held", "halted", "production")
    with pytest.raises(actions.ActionRefused, match="nothing to pause, promote or abort"):
        actions.promote_rollout(run, actor="owner", reason="now", now=now())
    assert offered_of_rollout(run, rollout) == []
    assert rollout_panel(rollout, run, now()) is None
    assert way_out(run_page(run, now())) == version(1), "what is left is the way back"
