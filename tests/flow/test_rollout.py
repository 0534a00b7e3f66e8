"""A rollout beyond its timers: step 0 by replay, the ladder of a quiet pipeline, and what people order of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils.timezone import now

from pipelines import actions
from pipelines.actions import ActionRefused
from pipelines.domain.canary import CanaryState
from pipelines.engine import kernel
from pipelines.engine.jobs import work_on
from pipelines.hosts.fake import FakeHost
from pipelines.hosts.naming import model_name
from pipelines.models import Body, Check, Exchange, Job, ModelVersion, ReplayPair, Rollout, Route, Run
from pipelines.plan import JOBS, PLAN
from pipelines.reports.shipping.replay import replay_report
from pipelines.reports.shipping.rollout import rollout_panel
from tenants.actions import change_settings
from tenants.models import AuditEvent, Host, Pipeline
from tests.flow.test_line import later, promoted, start

PROMPTS = 100
LONGEST_S = 30


@pytest.fixture
def host(pipeline: Pipeline, tmp_path: Path) -> FakeHost:
    """The pipeline's host, which knows both versions and answers with a label."""
    fake = FakeHost(f"fake://{tmp_path / 'host'}")
    Host.objects.filter(client_id=pipeline.client_id).update(kind="fake", url=f"fake://{tmp_path / 'host'}")
    names = [model_name(pipeline.client.slug, pipeline.slug, number) for number in (1, 2)]
    for name in names:
        fake._change("names.json", {name: {"blob": "b", "parameters": {}, "template": "", "system": ""}})
        fake.answer_with(name, "billing")
    return fake


def choose(pipeline: Pipeline, keep: bool) -> None:
    """A step takes half a minute at most; questions are kept or not."""
    body = pipeline.settings.model_dump(mode="json")
    chosen = {"bodies": body["bodies"] | {"keep": keep}, "rollout": body["rollout"] | {"max_step_s": LONGEST_S}}
    change_settings(pipeline, body | chosen, "owner", now())


def ask(pipeline: Pipeline, count: int, first: int = 0) -> None:
    """Questions that production answered in the last days, as the gateway keeps them."""
    version = ModelVersion.objects.get(pipeline=pipeline, number=1)
    for n in range(first, first + count):
        at = now() - timedelta(minutes=n)
        fields: dict[str, Any] = {
            "host": "shop",
            "arm": "production",
            "key_hash": str(n),
            "status": 200,
            "latency_ms": 9.0,
        }
        row = Exchange.of(
            version, pipeline=pipeline, version=version, request_id=f"q{n}", at=at, finished_at=at, **fields
        )
        row.save()
        request = json.dumps({"messages": [{"role": "user", "content": f"Where is parcel {n}?"}]})
        Body.of(row, pipeline=pipeline, exchange=row, request=request, prompt_digest=f"d{n}", at=at).save()


def answer(host: FakeHost, pipeline: Pipeline, number: int, text: str) -> None:
    host.answer_with(model_name(pipeline.client.slug, pipeline.slug, number), text)


@pytest.fixture
def canary(pipeline: Pipeline, add_rows: Callable[..., None], host: FakeHost) -> Callable[..., Run]:
    """Starts the run of v2 against v1, with so many questions kept."""

    def begin(prompts: int = PROMPTS) -> Run:
        add_rows(0, 30)
        promoted(pipeline)
        choose(pipeline, keep=prompts > 0)
        ask(pipeline, prompts)
        add_rows(100, 30)
        return start(pipeline)

    return begin


def state_of(run: Run) -> CanaryState:
    return CanaryState.from_json(Rollout.objects.get(run=run).canary)


def work_again(job: Job) -> None:
    """By a clock that has not run ahead, as `later` has; or after its worker was lost."""
    Job.objects.filter(pk=job.pk).update(status="queued", due_at=now(), attempts=0, finished_at=None)
    assert work_on(job.pk, JOBS, now)


def test_an_equal_version_passes_the_replay_and_opens_its_first_step(pipeline: Pipeline, canary: Any) -> None:
    run = canary()
    assert (run.status, run.reason) == ("waiting", "canary at 5 %")
    assert ReplayPair.objects.filter(is_counted=True).count() == state_of(run).pairs == PROMPTS
    check = Check.objects.get(rollout__run=run, phase="replay")
    assert check.decision == "advance"
    assert "10 points worse is excluded" in check.sentence
    assert Route.objects.get(pipeline=pipeline).candidate_bp == 500


def test_a_version_that_the_replay_finds_worse_never_meets_a_user(
    pipeline: Pipeline, canary: Any, host: FakeHost
) -> None:
    answer(host, pipeline, 2, "no idea, ask somebody else")
    run = canary()
    assert run.status == "rolled_back"
    assert "bad output 1.000 (candidate, 100 of 100 keys) against 0.000" in run.reason
    rollout, route = Rollout.objects.get(run=run), Route.objects.get(pipeline=pipeline)
    assert rollout.step_started_at is None, "no step was ever opened"
    assert (route.production.number, route.candidate) == (1, None)


def test_without_consent_or_with_few_prompts_nothing_is_asked_again(pipeline: Pipeline, canary: Any) -> None:
    run = canary(prompts=0)
    assert run.reason == "canary at 5 %"
    assert not Job.objects.filter(run=run, kind__startswith="replay").exists()


def test_a_quiet_pipeline_is_settled_by_pairs_and_not_by_a_person(pipeline: Pipeline, canary: Any) -> None:
    run = canary(prompts=3)  # Too few for step 0.
    ask(pipeline, PROMPTS, first=10)
    run = later(run, 1)
    assert run.reason == "canary at 25 %", "with no least number of keys the first step advances"
    assert later(run, LONGEST_S / 2).reason == "canary at 25 %"
    assert later(run, LONGEST_S + 5).reason == "canary at 25 %, replaying recent prompts"
    work_again(Job.objects.get(run=run, kind="replay:2"))
    run = later(run, LONGEST_S + 10)
    assert run.stage == "monitor", "the pairs excluded that it is 10 points worse"
    assert ReplayPair.objects.count() == PROMPTS + 3


def test_a_look_reads_no_question_and_asks_for_pairs_only_once_a_step_is_late(pipeline: Pipeline, canary: Any) -> None:
    run = canary(prompts=3)
    ask(pipeline, PROMPTS, first=10)
    run = later(run, 1)
    with CaptureQueriesContext(connection) as early:
        assert later(run, LONGEST_S / 2).reason == "canary at 25 %"
    with CaptureQueriesContext(connection) as late:
        assert later(run, LONGEST_S + 5).reason == "canary at 25 %, replaying recent prompts"
    assert not [one["sql"] for one in early if "pipelines_body" in one["sql"]]
    asked = [one["sql"] for one in late if "pipelines_body" in one["sql"]]
    assert asked and not [sql for sql in asked if '"request"' in sql]


def test_a_quiet_pipeline_without_replay_is_held_for_a_person(pipeline: Pipeline, canary: Any) -> None:
    run = later(canary(prompts=0), 1)
    run = later(run, LONGEST_S + 5)
    assert run.status == "held"
    assert "replay impossible: approve to go on, or roll back" in run.reason


def test_a_replay_that_was_cut_off_asks_no_prompt_twice(pipeline: Pipeline, canary: Any, host: FakeHost) -> None:
    run = canary()
    job = Job.objects.get(run=run, kind="replay:0")
    before = list(ReplayPair.objects.values_list("pk", flat=True))
    work_again(job)
    assert list(ReplayPair.objects.values_list("pk", flat=True)) == before
    later(run, 1)
    assert state_of(run).pairs == PROMPTS, "each pair counts once"


def test_a_paused_rollout_keeps_its_share_until_it_is_resumed(pipeline: Pipeline, canary: Any) -> None:
    run = canary()
    actions.pause_rollout(run, actor="owner", reason="the shop's sale begins", now=now())
    run = later(run, 10)
    assert run.reason == "canary paused by owner: the shop's sale begins"
    assert Route.objects.get(pipeline=pipeline).candidate_bp == 500
    with pytest.raises(ActionRefused, match="paused already, by owner"):
        actions.pause_rollout(run, actor="owner", reason="again", now=now())
    actions.resume_rollout(run, actor="owner", reason="it is over", now=now())
    assert Run.objects.get(pk=run.pk).reason == "canary at 25 %", "time and evidence of the pause count"
    verbs = AuditEvent.objects.filter(verb__startswith="rollout.").order_by("id").values_list("verb", flat=True)
    assert list(verbs) == ["rollout.pause", "rollout.resume"]


def test_a_paused_rollout_is_taken_back_all_the_same(pipeline: Pipeline, canary: Any) -> None:
    run = canary()
    actions.pause_rollout(run, actor="owner", reason="the shop's sale begins", now=now())
    fail(run, at=Rollout.objects.get(run=run).step_started_at + timedelta(seconds=1))
    assert later(run, 2).status == "rolled_back"


def fail(run: Run, at: datetime) -> None:
    """Five conversations whose candidate did not answer, beside some that production did."""
    rollout = Rollout.objects.get(run=run)
    assert rollout.previous is not None
    answered(rollout, rollout.version, at, is_failing=True)
    answered(rollout, rollout.previous, at, is_failing=False)


def answered(rollout: Rollout, version: ModelVersion, at: datetime, *, is_failing: bool) -> None:
    """What the meter writes of five conversations with a version, whether the wire carried them or not."""
    for n in range(5):
        name = f"{version.label}-{at:%H%M%S%f}-{n}"
        fields: dict[str, Any] = {"host": "shop", "arm": "", "key_hash": name, "status": 502 if is_failing else 200}
        fields |= {"is_error": is_failing, "is_transport_error": is_failing, "request_id": name, "latency_ms": 5.0}
        times = {"at": at + timedelta(milliseconds=n), "finished_at": at + timedelta(milliseconds=n + 1)}
        Exchange.of(rollout, pipeline=rollout.pipeline, version=version, rollout=rollout, **fields, **times).save()


def test_a_person_promotes_at_once_and_the_monitor_goes_on_with_it(pipeline: Pipeline, canary: Any) -> None:
    run = canary()
    actions.promote_rollout(run, actor="owner", reason="a fix that cannot wait", now=now())
    run = later(run, 1)
    assert run.stage == "monitor"
    route, version = Route.objects.get(pipeline=pipeline), ModelVersion.objects.get(run=run)
    assert (route.production, route.candidate) == (version, None)
    assert (version.status, version.approved_by) == ("production", "owner")
    with pytest.raises(ActionRefused, match="nothing to pause, promote or abort"):
        actions.promote_rollout(run, actor="owner", reason="again", now=now())


def test_a_held_rollout_can_be_promoted_too(pipeline: Pipeline, canary: Any) -> None:
    run = later(later(canary(prompts=0), 1), LONGEST_S + 5)
    assert run.status == "held"
    actions.promote_rollout(run, actor="owner", reason="looked at by hand", now=now())
    kernel.advance(run.pk, PLAN, now)
    assert Run.objects.get(pk=run.pk).stage == "monitor"


def test_a_person_aborts_and_production_has_all_the_traffic(pipeline: Pipeline, canary: Any) -> None:
    run = canary()
    actions.abort_rollout(run, actor="owner", reason="wrong data", now=now())
    run = Run.objects.get(pk=run.pk)
    assert (run.status, run.reason) == ("rolled_back", "wrong data")
    route = Route.objects.get(pipeline=pipeline)
    assert (route.production.number, route.candidate) == (1, None)
    assert AuditEvent.objects.filter(verb="rollout.abort").count() == 1


def test_an_order_without_a_reason_is_refused(pipeline: Pipeline, canary: Any) -> None:
    run = canary()
    for act in (actions.pause_rollout, actions.promote_rollout, actions.abort_rollout):
        with pytest.raises(ActionRefused, match="Say why"):
            act(run, actor="owner", reason=" ", now=now())


def test_the_pages_say_what_was_answered_differently_and_what_is_missing(
    pipeline: Pipeline, canary: Any, host: FakeHost
) -> None:
    answer(host, pipeline, 2, "delivery")
    run = canary()
    rollout = Rollout.objects.select_related("version", "previous", "run").get(run=run)
    found = replay_report(rollout, "canary", "")
    assert (found.changed, found.total) == (PROMPTS, PROMPTS)
    assert found.moves == (("billing", "delivery", PROMPTS),)
    assert found.lines[0].said.startswith("Where is parcel")
    panel = rollout_panel(rollout, run, now())
    assert panel is not None
    assert (panel.share, panel.pairs, panel.changed) == (0.05, PROMPTS, PROMPTS)
    assert [step.state for step in panel.steps] == ["done", "now", "todo", "todo"]
    assert [line.is_safe for line in panel.guardrails] == [True, True, True]
