"""Taking versions back: who may move traffic afterwards, and what a version that is not loaded must show first."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils.timezone import now

from agency.mail.facts import gather
from pipelines import actions, plan
from pipelines.artifacts import store_of
from pipelines.engine.jobs import work_on
from pipelines.hosts.fake import FakeHost
from pipelines.models import (
    Exchange,
    Job,
    ModelVersion,
    Notice,
    PipelineState,
    Placement,
    Rollback,
    Rollout,
    Route,
    Run,
)
from pipelines.reports.pipelines import pipeline_page
from pipelines.shipping.promotion import promote
from pipelines.shipping.rollback import Finding, take_back
from pipelines.shipping.route import RolloutOver, flip
from tenants.models import Host, Pipeline
from tests import factories
from tests.flow import fake_jobs
from tests.flow.test_line import promoted, start, watched

SLOW = Finding("canary", "slow", "slow beyond chance", {"p": 0.001})


@pytest.fixture
def host(pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHost:
    """The pipeline's host, in a folder; models are tiny and real."""
    monkeypatch.setitem(plan.JOBS, "build", fake_jobs.build_gguf)
    monkeypatch.setitem(plan.JOBS, "push", fake_jobs.ON_HOSTS["push"])
    url = f"fake://{tmp_path / 'host'}"
    Host.objects.filter(client_id=pipeline.client_id).update(kind="fake", url=url)
    return FakeHost(url)


def version(number: int) -> ModelVersion:
    return ModelVersion.objects.select_related("run", "pipeline", "client").get(number=number)


def lived(pipeline: Pipeline, add_rows: Callable[..., None], count: int) -> None:
    """So many versions, each promoted after the other, each watched to its end."""
    add_rows(0, 30)
    promoted(pipeline)
    for n in range(1, count):
        add_rows(1000 * n, 30)
        run = start(pipeline)
        promote(Rollout.objects.get(run=run), now())
        watched(run)


def route_of(pipeline: Pipeline) -> tuple[int, int | None, int]:
    row = Route.objects.select_related("production", "candidate").get(pipeline=pipeline)
    return row.production.number, row.candidate.number if row.candidate else None, row.candidate_bp


def test_what_was_decided_before_a_rollback_moves_no_traffic_after_it(
    pipeline: Pipeline, add_rows: Callable[..., None]
) -> None:
    lived(pipeline, add_rows, 1)
    add_rows(1000, 30)
    late = Rollout.objects.select_related("version", "previous", "run").get(run=start(pipeline))
    actions.roll_back(pipeline, to=None, actor="owner", reason="a client complained", now=now())
    with pytest.raises(RolloutOver):
        flip(late.beside, now(), candidate=late.version, share=0.25, rollout=late)
    with pytest.raises(RolloutOver):
        promote(late, now())
    assert not take_back(late, SLOW, "canary analysis", now())
    assert route_of(pipeline) == (1, None, 0)
    assert Rollback.objects.count() == 1


def test_a_machine_does_not_go_back_to_what_no_enabled_host_holds(
    pipeline: Pipeline, add_rows: Callable[..., None]
) -> None:
    """The version before stood on another host, which a person has switched off since."""
    lived(pipeline, add_rows, 1)
    add_rows(1000, 30)
    rollout = Rollout.objects.select_related("version", "previous", "run").get(run=start(pipeline))
    promote(rollout, now())
    Placement.objects.filter(version=version(1)).update(host=factories.make_host(pipeline.client, "barn"))
    Host.objects.filter(name="barn").update(is_enabled=False)
    assert take_back(rollout, SLOW, "monitor", now()).startswith("v1 stands on no enabled host")
    assert route_of(pipeline) == (2, None, 0) and not Rollback.objects.exists()
    Host.objects.filter(name="barn").update(is_enabled=True)
    assert take_back(rollout, SLOW, "monitor", now()) == ""
    assert route_of(pipeline) == (1, None, 0)


def test_production_taken_back_during_a_canary_ends_the_canary_and_never_returns(
    pipeline: Pipeline, add_rows: Callable[..., None], host: FakeHost
) -> None:
    lived(pipeline, add_rows, 2)
    add_rows(5000, 30)
    run = start(pipeline)
    assert route_of(pipeline) == (2, 3, 500)
    actions.roll_back(pipeline, to=version(1), actor="owner", reason="v2 is rude", now=now())
    assert route_of(pipeline) == (1, None, 0)
    run = Run.objects.get(pk=run.pk)
    assert (run.status, run.reason) == ("cancelled", "v2, which it was judged beside, was taken back")
    assert [version(n).status for n in (1, 2, 3)] == ["production", "rolled_back", "archived"]
    assert Rollout.objects.get(run=run).status == "rolled_back"


def test_a_rollback_ends_a_run_that_no_worker_has_taken_up_yet(
    pipeline: Pipeline, add_rows: Callable[..., None]
) -> None:
    lived(pipeline, add_rows, 1)
    add_rows(1000, 30)
    run = start(pipeline)
    Run.objects.filter(pk=run.pk).update(status="queued")  # As after an approval, or between deploy and monitor.
    actions.roll_back(pipeline, to=None, actor="owner", reason="a client complained", now=now())
    assert route_of(pipeline) == (1, None, 0)
    assert Run.objects.get(pk=run.pk).status == "rolled_back"


def test_each_rollback_of_a_version_is_told_with_its_own_reason(
    pipeline: Pipeline, add_rows: Callable[..., None], host: FakeHost
) -> None:
    lived(pipeline, add_rows, 2)
    for target, reason in ((1, "v2 is rude"), (2, "v2 was not to blame"), (1, "v2 is rude after all")):
        actions.roll_back(pipeline, to=version(target), actor="owner", reason=reason, now=now())
    assert route_of(pipeline) == (1, None, 0)
    first, second = Notice.objects.filter(run=version(2).run, kind="rolled_back").order_by("id")
    assert first.recipients and second.due_at is not None
    assert [gather(row).failures for row in (first, second)] == [("v2 is rude",), ("v2 is rude after all",)]
    assert second.detail["reason"] == "v2 is rude after all"


def test_a_version_that_is_not_loaded_is_proven_before_it_gets_traffic(
    pipeline: Pipeline, add_rows: Callable[..., None], host: FakeHost
) -> None:
    lived(pipeline, add_rows, 3)
    name = f"deploy.invalid/{pipeline.client.slug}/support:v1"
    host.unload(name)
    host.delete(name)
    Placement.objects.filter(version=version(1)).update(status="deleted")
    made = actions.roll_back(pipeline, to=version(1), actor="owner", reason="back to the start", now=now())
    made.refresh_from_db()
    assert made.flipped_at is not None and made.hosts == {"shop": "ok"}
    assert route_of(pipeline) == (1, None, 0)
    assert name in {tag.name for tag in host.tags()}
    assert Placement.objects.get(version=version(1)).status == "placed"


def test_a_version_whose_bytes_are_not_whole_gets_no_traffic(
    pipeline: Pipeline, add_rows: Callable[..., None], host: FakeHost
) -> None:
    lived(pipeline, add_rows, 3)
    path = store_of(pipeline.client_id).path(version(1).gguf_digest)
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    made = actions.roll_back(pipeline, to=version(1), actor="owner", reason="back to the start", now=now())
    made.refresh_from_db()
    assert made.flipped_at is None
    assert route_of(pipeline) == (3, None, 0)
    job = Job.objects.get(kind=f"bring:{made.pk}")
    assert job.error and job.status in ("queued", "failed")


def test_a_host_that_does_not_answer_leaves_the_traffic_where_it_is(
    pipeline: Pipeline, add_rows: Callable[..., None], host: FakeHost
) -> None:
    lived(pipeline, add_rows, 3)
    host.fail("down")
    made = actions.roll_back(pipeline, to=version(1), actor="owner", reason="back to the start", now=now())
    made.refresh_from_db()
    assert made.flipped_at is None and made.hosts["shop"] != "ok"
    assert "v1 answers on no host, traffic stays where it is" in Job.objects.get(kind=f"bring:{made.pk}").error
    host.fail("")
    assert route_of(pipeline) == (3, None, 0)


def later(kind: str, hours: float) -> Job:
    """One more try at the job, so many hours from now."""
    at = now() + timedelta(hours=hours)
    work_on(Job.objects.get(kind=kind).pk, plan.JOBS, lambda: at)
    return Job.objects.get(kind=kind)


def told() -> list[tuple[str, str]]:
    rows = Notice.objects.filter(kind__in=("rollback_stuck", "recovered")).order_by("id")
    return [(row.kind, row.detail.get("given_up", "")) for row in rows]


def test_a_rollback_that_does_not_come_through_is_tried_for_hours_and_people_are_told(
    pipeline: Pipeline, add_rows: Callable[..., None], host: FakeHost
) -> None:
    lived(pipeline, add_rows, 3)
    host.fail("down")
    made = actions.roll_back(pipeline, to=version(1), actor="owner", reason="v3 is rude", now=now())
    kind, pauses = f"bring:{made.pk}", []
    for n in range(9):
        assert told() == ([] if n < 4 else [("rollback_stuck", "")])
        job = later(kind, n + 1)
        pauses.append((job.due_at - (now() + timedelta(hours=n + 1))).total_seconds())
    assert job.status == "queued" and max(pauses) < 301 and pauses[-1] > 290
    assert made.standing == "waits"
    notice = Notice.objects.get(kind="rollback_stuck")
    assert notice.recipients and "v1 answers on no host" in notice.detail["reason"]
    host.fail("")
    assert later(kind, 12).status == "succeeded"
    assert route_of(pipeline) == (1, None, 0)
    assert told() == [("rollback_stuck", ""), ("recovered", "")]


def test_a_rollback_is_given_up_after_a_day_and_that_is_told_too(
    pipeline: Pipeline, add_rows: Callable[..., None], host: FakeHost
) -> None:
    lived(pipeline, add_rows, 3)
    host.fail("down")
    made = actions.roll_back(pipeline, to=version(1), actor="owner", reason="v3 is rude", now=now())
    Rollout.objects.update(live_at=now() - timedelta(hours=30))
    ModelVersion.objects.update(promoted_at=now() - timedelta(hours=30))
    Job.objects.filter(kind=f"bring:{made.pk}").update(created_at=now() - timedelta(hours=25))
    job = later(f"bring:{made.pk}", 1)
    host.fail("")
    assert job.status == "failed" and job.error.startswith("Given up: v1 answers on no host")
    assert (made.standing, told()) == ("given_up", [("rollback_stuck", "given up")])
    assert pipeline_page(pipeline, now()).going_back == made


@pytest.mark.parametrize("by", ["rollback", "promotion"])
def test_a_later_decision_ends_a_rollback_that_has_not_come_through(
    pipeline: Pipeline, add_rows: Callable[..., None], host: FakeHost, by: str
) -> None:
    lived(pipeline, add_rows, 3)
    host.fail("down")
    made = actions.roll_back(pipeline, to=version(1), actor="owner", reason="v3 is rude", now=now())
    host.fail("")
    if by == "rollback":
        actions.roll_back(pipeline, to=version(2), actor="owner", reason="rather v2", now=now())
    else:
        Rollout.objects.filter(version=version(3)).update(live_at=now())
    before = route_of(pipeline)
    assert later(f"bring:{made.pk}", 1).status == "succeeded"
    assert (made.standing, route_of(pipeline)) == ("overtaken", before)
    assert pipeline_page(pipeline, now()).going_back != made


def test_hosts_that_do_not_take_a_rollback_are_told_again_and_its_rollout_ends(
    pipeline: Pipeline, add_rows: Callable[..., None], host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(plan.JOBS, "restore", fake_jobs.ON_HOSTS["restore"])
    monkeypatch.setattr("pipelines.heavy.restore.WATCH_S", 0.0)
    lived(pipeline, add_rows, 2)
    host.fail("down")
    made = actions.roll_back(pipeline, to=None, actor="owner", reason="a client complained", now=now())
    kind = f"restore:{made.pk}"
    for n in range(6):
        later(kind, n + 1)
    made.refresh_from_db()
    assert (told(), list(made.untold)) == ([("rollback_stuck", "")], ["shop"])
    assert Rollout.objects.get(version=version(2)).status == "rolling_back"
    Job.objects.filter(kind=kind).update(created_at=now() - timedelta(hours=25))
    assert later(kind, 9).status == "failed"
    host.fail("")
    assert told() == [("rollback_stuck", ""), ("rollback_stuck", "given up")]
    assert Rollout.objects.get(version=version(2)).status == "rolled_back"


def test_a_rollback_to_what_no_host_holds_is_not_told_as_verified(
    pipeline: Pipeline, add_rows: Callable[..., None], host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(plan.JOBS, "restore", fake_jobs.ON_HOSTS["restore"])
    monkeypatch.setattr("pipelines.heavy.restore.WATCH_S", 0.0)
    lived(pipeline, add_rows, 2)
    with monkeypatch.context() as nobody_at_work:
        nobody_at_work.setattr("pipelines.engine.dispatch.work_job", lambda *_: None)
        made = actions.roll_back(pipeline, to=None, actor="owner", reason="a client complained", now=now())
    Host.objects.update(is_enabled=False)
    job = later(f"restore:{made.pk}", 0)
    made.refresh_from_db()
    assert (job.status, made.verified_at) == ("queued", None)
    assert "it stands on no enabled host" in job.error
    Host.objects.update(is_enabled=True)
    assert later(f"restore:{made.pk}", 1).status == "succeeded"
    made.refresh_from_db()
    assert made.verified_at is not None


def test_the_card_of_a_rollback_waits_for_a_store_that_takes_nothing(
    pipeline: Pipeline, add_rows: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The person has what they asked for, and what was to be sent after the commit is sent."""
    lived(pipeline, add_rows, 2)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pipelines.artifacts.store.Store.put_beside", full)
    made = actions.roll_back(pipeline, to=None, actor="owner", reason="a client complained", now=now())
    assert route_of(pipeline) == (1, None, 0)
    assert Job.objects.get(kind=f"restore:{made.pk}").status == "succeeded"


def test_a_name_that_points_to_a_version_stays_expected_when_it_is_placed_anew(
    pipeline: Pipeline, add_rows: Callable[..., None], host: FakeHost
) -> None:
    lived(pipeline, add_rows, 3)
    place = Placement.objects.get(version=version(1))
    place.facts |= {"is_aliased": True}
    place.save()
    actions.roll_back(pipeline, to=version(1), actor="owner", reason="back to the start", now=now())
    facts = Placement.objects.get(version=version(1)).facts
    assert facts["is_aliased"] and facts["manifest_digest"]


def test_an_answer_that_ends_long_after_the_rollback_counts_in_its_seconds(
    pipeline: Pipeline, add_rows: Callable[..., None], host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(plan.JOBS, "restore", fake_jobs.ON_HOSTS["restore"])
    monkeypatch.setattr("pipelines.heavy.restore.WATCH_S", 0.0)
    lived(pipeline, add_rows, 2)
    made = actions.roll_back(pipeline, to=None, actor="owner", reason="a client complained", now=now())
    made.refresh_from_db()
    assert made.seconds == 0
    times = {"at": made.decided_at - timedelta(seconds=1), "finished_at": made.decided_at + timedelta(seconds=55)}
    told = {"version": version(2), "request_id": "long", "host": "shop", "arm": "production", "status": 200}
    Exchange.of(pipeline, pipeline=pipeline, key_hash="0" * 32, **told, **times).save()
    again = Job.objects.get(kind=f"last:{made.pk}")
    assert again.due_at >= made.decided_at + timedelta(seconds=1)
    work_on(again.pk, plan.JOBS, lambda: again.due_at)
    made.refresh_from_db()
    assert made.seconds == 55


def test_going_back_to_what_is_still_on_its_way_up_is_refused(
    pipeline: Pipeline, add_rows: Callable[..., None]
) -> None:
    lived(pipeline, add_rows, 1)
    add_rows(1000, 30)
    start(pipeline)
    with pytest.raises(actions.ActionRefused, match="on its way up"):
        actions.roll_back(pipeline, to=version(2), actor="owner", reason="?", now=now())
    assert route_of(pipeline) == (1, 2, 500)


def test_a_rollback_ordered_twice_goes_back_once(pipeline: Pipeline, add_rows: Callable[..., None]) -> None:
    """The script of whoever is on call was cut off while it waited for the answer, and asked again."""
    lived(pipeline, add_rows, 3)
    said = {"actor": "on call", "reason": "angry users"}
    at = now()
    actions.roll_back(pipeline, to=None, now=at, **said)
    with pytest.raises(actions.ActionRefused, match=r"on call .* from v3 to v2 119 seconds ago.*give `to`"):
        actions.roll_back(pipeline, to=None, now=at + timedelta(seconds=119), **said)
    assert route_of(pipeline) == (2, None, 0)
    with pytest.raises(CommandError, match="give `to`"):
        call_command("rollback", f"{pipeline.client.slug}/{pipeline.slug}", reason="angry users")
    assert route_of(pipeline) == (2, None, 0)
    actions.roll_back(pipeline, to=None, now=at + timedelta(minutes=3), **said)
    assert route_of(pipeline) == (1, None, 0)


def test_a_version_that_is_named_is_gone_back_to_at_any_time(pipeline: Pipeline, add_rows: Callable[..., None]) -> None:
    lived(pipeline, add_rows, 3)
    actions.roll_back(pipeline, to=None, actor="owner", reason="v3 is rude", now=now())
    actions.roll_back(pipeline, to=version(1), actor="owner", reason="v2 too", now=now())
    assert route_of(pipeline) == (1, None, 0)


def test_a_canary_that_the_machine_took_back_is_not_taken_for_one_that_a_person_means(
    pipeline: Pipeline, add_rows: Callable[..., None]
) -> None:
    lived(pipeline, add_rows, 2)
    add_rows(5000, 30)
    rollout = Rollout.objects.select_related("version", "previous", "run").get(run=start(pipeline))
    assert take_back(rollout, SLOW, "canary analysis", now()) == ""
    with pytest.raises(actions.ActionRefused, match="canary analysis ordered"):
        actions.roll_back(pipeline, to=None, actor="owner", reason="v3 is slow", now=now())
    assert route_of(pipeline) == (2, None, 0)


def new_run(pipeline: Pipeline, add_rows: Callable[..., None], first: int) -> Run:
    """At once after a rollback."""
    PipelineState.objects.update(cooldown_until=None)
    add_rows(first, 30)
    return start(pipeline)


def test_what_was_promoted_since_a_rollback_is_taken_back_without_a_word_more(
    pipeline: Pipeline, add_rows: Callable[..., None]
) -> None:
    lived(pipeline, add_rows, 2)
    actions.roll_back(pipeline, to=None, actor="owner", reason="v2 is rude", now=now())
    for first in (5000, 6000):
        actions.abort_rollout(new_run(pipeline, add_rows, first), actor="owner", reason="not today", now=now())
        assert route_of(pipeline) == (1, None, 0)
    promote(Rollout.objects.get(run=new_run(pipeline, add_rows, 7000)), now())
    actions.roll_back(pipeline, to=None, actor="owner", reason="v5 is rude", now=now())
    assert route_of(pipeline) == (1, None, 0)
