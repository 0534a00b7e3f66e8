"""Drills: the way back walked up to the flip, with nothing left behind but the result."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils.timezone import now

from agency.mail.compose import compose
from pipelines import actions, plan
from pipelines.artifacts import store_of
from pipelines.engine.jobs import JobFailed, Work, work_on
from pipelines.hosts.fake import FakeHost
from pipelines.models import Drill, Job, Notice, Placement, Rollback
from pipelines.shipping.back import drills
from pipelines.shipping.back.rehearsal import WayChanged, rehearse
from tenants import freezing
from tenants.models import AuditEvent, Pipeline
from tests.faults.world import picture
from tests.flow import fake_jobs
from tests.flow.test_line import start
from tests.flow.test_rollback import lived, route_of, version


def drilled(pipeline: Pipeline) -> Drill:
    """A drill by hand, through its job."""
    made = actions.start_drill(pipeline, actor="owner", now=now())
    return Drill.objects.get(pk=made.pk)


def walked(drill: Drill | None) -> Drill:
    """A drill by the schedule, once its job was done at the time it was due."""
    assert drill is not None
    work_on(Job.objects.get(kind=f"drill:{drill.pk}").pk, plan.JOBS, lambda: drill.created_at)
    return Drill.objects.get(pk=drill.pk)


def name_of(pipeline: Pipeline, number: int) -> str:
    return f"deploy.invalid/{pipeline.client.slug}/support:v{number}"


def without_drills() -> dict[str, list[object]]:
    """Everything that stands in the tables but the drill's own job."""
    seen = picture()
    seen["jobs"] = [row for row in seen["jobs"] if "drill" not in row]
    return seen


def test_a_drill_proves_the_way_back_and_leaves_everything_as_it_was(
    unwatched: Pipeline, add_rows: Callable[..., None], shop: FakeHost
) -> None:
    lived(unwatched, add_rows, 2)
    before = without_drills()
    made = drilled(unwatched)
    assert made.is_passed is True, made.sentence
    assert (made.from_version.number, made.to_version.number) == (2, 1)
    assert made.hosts["shop"]["is_ready"] and made.hosts["shop"]["was_loaded"]
    assert "v1 is loaded within" in made.sentence and "written and undone in" in made.sentence
    assert without_drills() == before
    assert route_of(unwatched) == (2, None, 0) and Rollback.objects.count() == 0
    assert AuditEvent.objects.filter(verb="drill", subject="support to v1").count() == 1
    assert not AuditEvent.objects.filter(verb="route.flip", actor="drill").exists()


def test_what_the_host_lost_fails_the_drill_and_is_mailed(
    unwatched: Pipeline, add_rows: Callable[..., None], shop: FakeHost
) -> None:
    lived(unwatched, add_rows, 2)
    shop.unload(name_of(unwatched, 1))
    shop.delete(name_of(unwatched, 1))
    made = drilled(unwatched)
    assert made.is_passed is False
    assert made.sentence == f"shop: {name_of(unwatched, 1)} is not there any more"
    notice = Notice.objects.get(kind="drill_failed")
    mail = compose(notice)
    assert "no way back" in mail.subject and "to v1" in mail.subject
    assert "is not there any more" in mail.text and "/drills/" in mail.text


def test_bytes_that_somebody_replaced_fail_the_drill(
    unwatched: Pipeline, add_rows: Callable[..., None], shop: FakeHost
) -> None:
    lived(unwatched, add_rows, 2)
    shop.copy(name_of(unwatched, 2), name_of(unwatched, 1))
    made = drilled(unwatched)
    assert made.is_passed is False and "somebody replaced it" in made.sentence


def test_a_host_that_is_down_fails_the_drill_and_moves_nothing(
    unwatched: Pipeline, add_rows: Callable[..., None], shop: FakeHost
) -> None:
    lived(unwatched, add_rows, 2)
    shop.fail("down")
    made = drilled(unwatched)
    shop.fail("")
    assert made.is_passed is False and made.sentence.startswith("shop: ")
    assert route_of(unwatched) == (2, None, 0)


def test_a_version_on_no_host_passes_only_with_its_whole_file(
    unwatched: Pipeline, add_rows: Callable[..., None], shop: FakeHost
) -> None:
    lived(unwatched, add_rows, 2)
    Placement.objects.filter(version=version(1)).update(status="deleted")
    made = drilled(unwatched)
    assert made.is_passed is True and "lies on no host: a rollback first sends its" in made.sentence
    path = store_of(unwatched.client_id).path(version(1).gguf_digest)
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    made = drilled(unwatched)
    assert made.is_passed is False and "its file is not whole" in made.sentence


def test_traffic_that_moved_meanwhile_ends_the_drill_without_a_mail(
    unwatched: Pipeline, add_rows: Callable[..., None], shop: FakeHost
) -> None:
    lived(unwatched, add_rows, 3)
    with pytest.raises(WayChanged):
        rehearse(unwatched, version(2), version(1), now())
    assert route_of(unwatched) == (3, None, 0)
    assert not Notice.objects.filter(kind="drill_failed").exists()


def test_one_drill_at_a_time_until_its_worker_is_given_up(
    unwatched: Pipeline, add_rows: Callable[..., None], shop: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    lived(unwatched, add_rows, 2)
    monkeypatch.setitem(plan.JOBS, "drill", fake_jobs.nothing)
    drilled(unwatched)
    with pytest.raises(actions.ActionRefused, match="goes on already"):
        drilled(unwatched)
    later = now() + drills.STALE + timedelta(seconds=1)
    actions.start_drill(unwatched, actor="owner", now=later)
    assert sorted(row.status for row in Drill.objects.all()) == ["failed", "running"]


def test_without_an_earlier_version_there_is_nothing_to_rehearse(
    unwatched: Pipeline, add_rows: Callable[..., None], shop: FakeHost
) -> None:
    with pytest.raises(actions.ActionRefused, match="Nothing is in production yet"):
        drilled(unwatched)
    lived(unwatched, add_rows, 1)
    with pytest.raises(actions.ActionRefused, match="no earlier version"):
        drilled(unwatched)


def test_the_schedule_counts_from_the_last_proof_and_comes_sooner_after_a_failure(
    unwatched: Pipeline, add_rows: Callable[..., None], shop: FakeHost
) -> None:
    lived(unwatched, add_rows, 2)
    day = timedelta(days=1)
    assert drills.begin_if_due(unwatched, now() + 29 * day) is None
    shop.fail("down")
    first = walked(drills.begin_if_due(unwatched, now() + 31 * day))
    shop.fail("")
    assert (first.ordered_by, first.is_passed) == ("schedule", False)
    assert drills.begin_if_due(unwatched, first.created_at + day / 2) is None
    second = walked(drills.begin_if_due(unwatched, first.created_at + day))
    assert second.is_passed is True
    assert drills.begin_if_due(unwatched, second.created_at + 29 * day) is None


def test_a_rollout_a_pause_and_a_freeze_each_hold_a_scheduled_drill(
    unwatched: Pipeline, add_rows: Callable[..., None], shop: FakeHost
) -> None:
    lived(unwatched, add_rows, 2)
    due = now() + timedelta(days=31)
    freeze = freezing.freeze(unwatched, actor="owner", reason="year end", now=now())
    assert drills.begin_if_due(unwatched, due) is None
    freezing.lift(freeze, actor="owner", reason="over", now=now())
    add_rows(9000, 30)
    start(unwatched)
    assert route_of(unwatched) == (2, 3, 500)
    assert drills.begin_if_due(unwatched, due) is None


def test_two_tickers_begin_one_drill(unwatched: Pipeline, add_rows: Callable[..., None], shop: FakeHost) -> None:
    lived(unwatched, add_rows, 2)
    due = now() + timedelta(days=31)
    begun = [drills.begin_if_due(unwatched, due) for _ticker in range(2)]
    assert [drill is not None for drill in begun] == [True, False] and Drill.objects.count() == 1


@pytest.mark.parametrize(("after", "sentence"), [(timedelta(0), "no host answered"), (drills.STALE, "its worker")])
def test_a_drill_that_nobody_ends_is_told_at_the_next_look_and_proves_nothing(
    unwatched: Pipeline,
    add_rows: Callable[..., None],
    shop: FakeHost,
    monkeypatch: pytest.MonkeyPatch,
    after: timedelta,
    sentence: str,
) -> None:
    """Its job has failed; or it was lost with its worker, and nobody has a schedule that would come by it."""
    lived(unwatched, add_rows, 2)

    def failing(work: Work) -> dict[str, object]:
        raise JobFailed("no host answered", permanent=True)

    with monkeypatch.context() as patch:
        patch.setitem(plan.JOBS, "drill", fake_jobs.nothing if after else failing)
        made = drilled(unwatched)
    assert made.status == "running"
    assert drills.begin_if_due(unwatched, made.created_at + after + timedelta(seconds=1)) is None
    made.refresh_from_db()
    assert made.status == "failed" and sentence in made.sentence
    assert Notice.objects.filter(kind="drill_failed").count() == 1
    assert drills.begin_if_due(unwatched, made.created_at + timedelta(hours=23)) is None
    assert drills.begin_if_due(unwatched, made.created_at + timedelta(days=1)) is not None


def test_a_drill_that_goes_on_is_left_alone(
    unwatched: Pipeline, add_rows: Callable[..., None], shop: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    lived(unwatched, add_rows, 2)
    monkeypatch.setattr("pipelines.engine.dispatch.work_job", lambda *_: None)
    made = drilled(unwatched)
    assert drills.begin_if_due(unwatched, made.created_at + timedelta(hours=1)) is None
    made.refresh_from_db()
    assert made.status == "running"
