"""Drift: what somebody changed on a host by hand is found, told once, and put back only where the policy says so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils.timezone import now

from agency.mail.compose import compose
from pipelines import plan
from pipelines.artifacts import store_of
from pipelines.engine.jobs import work_on
from pipelines.fleet import look
from pipelines.hosts import HostDown
from pipelines.hosts.fake import FakeHost
from pipelines.models import Job, Notice, Placement, Rollback, Rollout
from pipelines.shipping.promotion import promote
from tenants.actions import change_settings
from tenants.models import AuditEvent, Host, HostDrift, Pipeline
from tests import factories
from tests.conftest import Clock
from tests.flow import fake_jobs
from tests.flow.test_line import promoted, start

pytestmark = pytest.mark.django_db
NAME = "deploy.invalid/{client}/support:v1"
LONG = "a-host-in-the-second-room-on-the-left-of-the-main-building-x"  # 60 characters: the longest there is.


@pytest.fixture
def world(pipeline: Pipeline, tmp_path: Path, clock: Clock) -> Iterator[tuple[Host, FakeHost, Placement]]:
    """v1 in production on a host that holds it, with its alias."""
    run = factories.make_production(pipeline)
    with factories.inside(pipeline):
        Job.objects.all().delete()
        row, fake = Host.objects.get(name="shop"), FakeHost(str(tmp_path / "fake"))
        Host.objects.filter(pk=row.pk).update(kind="fake", url=f"fake://{fake.root}", due_at=clock.now)
        placement = Placement.objects.get(version=run.model_version, host=row)
        model = {"blob": "b", "parameters": {}, "template": "{{ .Prompt }}", "system": ""}
        (fake.root / "blobs" / "b").write_bytes(b"x" * 100)
        alias = placement.model_name.replace(":v1", ":production")
        fake._change("names.json", {placement.model_name: model, alias: model})
        digest = fake.tags()[0].digest
        placement.facts = {"manifest_digest": digest, "generation": "B", "is_aliased": True}
        placement.save()
        row.refresh_from_db()
        look_at(row, clock)
        yield row, fake, placement


def look_at(row: Host, clock: Clock, minutes: float = 6) -> list[HostDrift]:
    clock.advance(minutes=minutes)
    Host.objects.filter(pk=row.pk).update(due_at=clock.now)
    look.look_at(row.pk, clock.now)
    return list(HostDrift.objects.filter(ended_at=None))


def test_a_host_as_it_was_placed_has_no_drift(world: tuple[Host, FakeHost, Placement], clock: Clock) -> None:
    assert look_at(world[0], clock) == []


OTHER = {"blob": "b", "parameters": {"num_ctx": 1}, "template": "{{ .Prompt }}", "system": "Be rude."}


def overwrite(fake: FakeHost, placement: Placement) -> None:
    fake._change("names.json", {placement.model_name: OTHER})


def remove(fake: FakeHost, placement: Placement) -> None:
    fake._change("names.json", {placement.model_name: None})


def point_away(fake: FakeHost, placement: Placement) -> None:
    fake._change("names.json", {placement.model_name.replace(":v1", ":production"): OTHER})


def update_host(fake: FakeHost, placement: Placement) -> None:
    (fake.root / "version").write_text("0.34.2")


@pytest.mark.parametrize(
    ("change", "kinds"),
    [
        (overwrite, {"digest", "alias"}),
        (remove, {"gone"}),
        (point_away, {"alias"}),
        (update_host, {"generation"}),
    ],
)
def test_what_was_changed_by_hand_is_found_noted_and_told_once(
    world: tuple[Host, FakeHost, Placement],
    clock: Clock,
    change: Callable[[FakeHost, Placement], None],
    kinds: set[str],
) -> None:
    row, fake, placement = world
    right_at = look_before = clock.now
    change(fake, placement)

    found = look_at(row, clock)
    look_at(row, clock)

    assert {drift.kind for drift in found} == kinds
    assert all(drift.right_at == look_before == right_at for drift in found)
    assert AuditEvent.objects.filter(verb="host.drift").count() == len(kinds)
    assert Notice.objects.filter(kind="drift").count() == len(kinds)
    assert not fake.effects(), "reported, not repaired"


def test_the_mail_says_what_differs_and_when_it_was_right(
    world: tuple[Host, FakeHost, Placement], clock: Clock
) -> None:
    row, fake, placement = world
    remove(fake, placement)
    look_at(row, clock)

    message = compose(Notice.objects.get(kind="drift"))

    assert "shop" in message.subject and "changed by hand" in message.subject
    assert "is no longer on the host" in message.text and "it was right at 2026-03-03" in message.text


def test_drift_that_went_away_ends(world: tuple[Host, FakeHost, Placement], clock: Clock) -> None:
    row, fake, placement = world
    names = fake._read("names.json")
    remove(fake, placement)
    look_at(row, clock)
    fake._change("names.json", names)

    assert look_at(row, clock) == []
    assert HostDrift.objects.get().repaired_by == ""


def test_another_template_under_the_same_digest_is_found(
    world: tuple[Host, FakeHost, Placement], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A switch of the host decides which template is used; the manifest stays."""
    row, _fake, placement = world
    placement.refresh_from_db()
    assert placement.facts["template_digest"]
    placement.facts = placement.facts | {"template_digest": "0" * 64}
    placement.save()

    assert [drift.kind for drift in look_at(row, clock)] == ["template"]


def test_a_host_that_is_down_has_not_drifted(world: tuple[Host, FakeHost, Placement], clock: Clock) -> None:
    row, fake, _placement = world
    fake.fail("down")

    assert look_at(row, clock) == []


def test_while_a_job_of_ours_changes_names_nothing_is_compared(
    world: tuple[Host, FakeHost, Placement], clock: Clock
) -> None:
    row, fake, placement = world
    remove(fake, placement)
    run = placement.version.run
    job = Job.of(run, run=run, stage="deploy", kind="push:shop", queue="push", created_at=clock.now, due_at=clock.now)
    job.save()

    assert look_at(row, clock) == []


def insisting(placement: Placement, clock: Clock, **hosts: str) -> Job:
    """A rollback's job, taken up and put off again, and what each host said to it."""
    run = placement.version.run
    version = {"from_version": placement.version, "to_version": placement.version}
    told = {"phase": "person", "metric": "decision", "sentence": "rude", "decided_by": "owner", "hosts": hosts}
    made = Rollback.of(run, pipeline=run.pipeline, decided_at=clock.now, flipped_at=clock.now, **version, **told)
    made.save()
    fields = {"kind": f"restore:{made.pk}", "queue": "push", "max_attempts": 1000, "created_at": clock.now}
    job = Job.of(run, run=run, stage="monitor", attempts=3, heartbeat_at=clock.now, due_at=clock.now, **fields)
    job.save()
    return job


@pytest.mark.parametrize(("said", "kinds"), [("ok", ["gone"]), ("the host is down", [])])
def test_a_rollback_that_waits_for_another_host_hides_no_drift(
    world: tuple[Host, FakeHost, Placement], clock: Clock, said: str, kinds: list[str]
) -> None:
    """Between its tries, which go on for a day; a try that is under way hides it everywhere."""
    row, fake, placement = world
    job = insisting(placement, clock, shop=said, barn="the host is down")
    remove(fake, placement)
    for busy in ({"heartbeat_at": clock.now + timedelta(minutes=6)}, {"status": "running"}, {"attempts": 0}):
        Job.objects.filter(pk=job.pk).update(**busy)
        assert look_at(row, clock) == []
        job.save()

    assert [drift.kind for drift in look_at(row, clock)] == kinds


def test_a_job_that_ended_while_the_host_was_asked_is_not_taken_for_somebodys_hand(
    world: tuple[Host, FakeHost, Placement], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The host was read first, then the name moved and the job ended, then the two were compared."""
    row, fake, placement = world
    run = placement.version.run
    job = Job.of(run, run=run, stage="deploy", kind="alias", queue="push", created_at=clock.now, due_at=clock.now)
    job.save()
    point_away(fake, placement)
    really = look.ask

    def asked(*told: object, **more: object) -> look.Seen:
        seen = really(*told, **more)
        Job.objects.filter(pk=job.pk).update(status="succeeded", finished_at=clock.now, due_at=None)
        return seen

    monkeypatch.setattr(look, "ask", asked)
    assert look_at(row, clock) == []

    monkeypatch.undo()
    assert {drift.kind for drift in look_at(row, clock)} == {"alias"}, "the look after that compares again"


def test_an_alias_is_pointed_back_where_the_policy_says_so(
    world: tuple[Host, FakeHost, Placement], clock: Clock
) -> None:
    row, fake, placement = world
    Host.objects.filter(pk=row.pk).update(drift_policy="repair")
    point_away(fake, placement)

    look_at(row, clock)

    assert look_at(row, clock) == []
    assert HostDrift.objects.get().repaired_by == "look at hosts"
    assert [effect["effect"] for effect in fake.effects()] == ["copy"]
    assert AuditEvent.objects.filter(verb="host.repair").count() == 1


def test_a_version_that_is_gone_is_placed_again_where_the_policy_says_so(
    world: tuple[Host, FakeHost, Placement], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    row, fake, placement = world
    sent: list[tuple[int, int, str]] = []
    monkeypatch.setattr("pipelines.engine.dispatch.work_job", lambda *job: sent.append(job))
    Host.objects.filter(pk=row.pk).update(drift_policy="repair")
    overwrite(fake, placement)

    look_at(row, clock)

    job = Job.objects.get(kind__startswith="push:shop:repair")
    assert job.spec == {"host": row.pk, "instead_of": HostDrift.objects.get(kind="digest").found}
    assert sent == [(job.client_id, job.pk, "push")]
    assert not fake.effects("delete"), "the push does so, once it has what to put there"


@pytest.fixture
def placed(unwatched: Pipeline, shop: FakeHost, add_rows: Callable[..., None]) -> Placement:
    """v1 was really pushed to a host with a long name, whose policy is to repair."""
    Host.objects.update(name=LONG, drift_policy="repair")
    change_settings(unwatched, unwatched.settings.model_dump(mode="json") | {"hosts": [LONG]}, "owner", now())
    add_rows(0, 30)
    promoted(unwatched)
    return Placement.objects.select_related("host", "version").get()


def make_rude(shop: FakeHost, placed: Placement) -> None:
    model = shop._read("names.json")[placed.model_name]
    shop._change("names.json", {placed.model_name: model | {"system": "Be rude."}})


def repaired(row: Host) -> Job:
    """By a look a minute later, when what was pushed is no news any more, and the push that it ordered."""
    at = now() + timedelta(minutes=1)
    Host.objects.filter(pk=row.pk).update(due_at=at)
    look.look_at(row.pk, at)
    job = Job.objects.get(kind__startswith=f"push:{LONG}:repair-")
    work_on(job.pk, plan.JOBS, lambda: at)
    job.refresh_from_db()
    return job


def test_on_a_host_with_a_long_name_another_model_is_replaced_by_what_was_placed(
    placed: Placement, shop: FakeHost
) -> None:
    right = {tag.name: tag.digest for tag in shop.tags()}
    make_rude(shop, placed)

    job = repaired(placed.host)

    assert (job.status, job.error) == ("succeeded", "")
    assert right.items() <= {tag.name: tag.digest for tag in shop.tags()}.items()
    assert [effect["name"] for effect in shop.effects("delete")] == [placed.model_name]


def test_nothing_is_taken_from_a_host_that_cannot_be_put_back(placed: Placement, shop: FakeHost) -> None:
    make_rude(shop, placed)
    store_of(placed.client_id).path(placed.version.gguf_digest).unlink()

    assert repaired(placed.host).error
    assert placed.model_name in {tag.name for tag in shop.tags()}


def looked(row: Host, minutes: float) -> HostDrift:
    """The host's latest difference, after a look so many minutes from now."""
    at = now() + timedelta(minutes=minutes)
    Host.objects.filter(pk=row.pk).update(due_at=at)
    look.look_at(row.pk, at)
    return HostDrift.objects.latest("id")


def pushes() -> list[Job]:
    return list(Job.objects.filter(kind__contains=":repair-").order_by("id"))


def tried(job: Job, first_minute: float) -> Job:
    """Every attempt at it, ten minutes from one to the next."""
    for n in range(job.max_attempts):
        work_on(job.pk, plan.JOBS, lambda n=n: now() + timedelta(minutes=first_minute + 10 * n))
    job.refresh_from_db()
    return job


def test_a_repair_that_the_host_was_down_for_is_told_and_ordered_again(placed: Placement, shop: FakeHost) -> None:
    shop._change("names.json", {placed.model_name: None})
    looked(placed.host, 1)
    shop.fail("down")
    job = tried(pushes()[0], first_minute=2)
    shop.fail("")
    assert job.status == "failed" and "does not answer" in job.error

    drift = looked(placed.host, 50)
    assert (drift.repair_error, drift.repaired_by, len(pushes())) == (job.error, "", 1)
    drift = looked(placed.host, 110)
    assert (drift.repair_error, drift.repaired_by, len(pushes())) == ("", "look at hosts", 2)
    again = tried(pushes()[1], first_minute=111)
    assert (again.kind, again.status) == (f"{job.kind}.1", "succeeded")
    assert looked(placed.host, 180).ended_at is not None
    assert placed.model_name in {tag.name for tag in shop.tags()}


def test_a_repair_that_was_cancelled_is_ordered_again(placed: Placement, shop: FakeHost) -> None:
    shop._change("names.json", {placed.model_name: None})
    looked(placed.host, 1)
    ended = {"status": "cancelled", "due_at": None, "finished_at": now() + timedelta(minutes=2)}
    Job.objects.filter(pk=pushes()[0].pk).update(**ended)

    assert looked(placed.host, 3).repair_error == "The repair was cancelled."
    looked(placed.host, 63)
    assert tried(pushes()[1], first_minute=64).status == "succeeded"


def test_an_alias_that_could_not_be_copied_back_is_copied_within_the_hour(
    world: tuple[Host, FakeHost, Placement], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    row, fake, placement = world
    Host.objects.filter(pk=row.pk).update(drift_policy="repair")
    point_away(fake, placement)

    def busy(*_: object) -> None:
        raise HostDown("shop is busy")

    with monkeypatch.context() as patch:
        patch.setattr(FakeHost, "copy", busy)
        assert [drift.repair_error for drift in look_at(row, clock)] == ["shop is busy"]
    assert [drift.repair_error for drift in look_at(row, clock, minutes=50)] == ["shop is busy"], "not every minute"
    look_at(row, clock, minutes=10)

    assert look_at(row, clock) == []
    assert [effect["effect"] for effect in fake.effects()] == ["copy"]


def test_what_differs_already_is_repaired_once_the_policy_says_so(
    world: tuple[Host, FakeHost, Placement], clock: Clock
) -> None:
    row, fake, placement = world
    point_away(fake, placement)
    look_at(row, clock)
    Host.objects.filter(pk=row.pk).update(drift_policy="repair")
    look_at(row, clock)

    assert look_at(row, clock) == []


def test_an_alias_that_no_host_was_up_for_at_the_promotion_is_drift(
    placed: Placement, shop: FakeHost, add_rows: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(plan.JOBS, "alias", fake_jobs.ON_HOSTS["alias"])
    Host.objects.update(drift_policy="report")
    add_rows(1000, 30)
    run = start(placed.version.pipeline)
    shop.fail("down")
    promote(Rollout.objects.get(run=run), now())
    job = tried(Job.objects.get(run=run, kind="alias"), first_minute=10)
    shop.fail("")
    assert job.status == "failed"

    drift = looked(placed.host, 60)
    assert (drift.kind, Notice.objects.filter(kind="drift").count()) == ("alias", 1)
    Host.objects.update(drift_policy="repair")
    looked(placed.host, 61)
    assert looked(placed.host, 62).ended_at is not None
    digests = {tag.name.rpartition(":")[2]: tag.digest for tag in shop.tags()}
    assert digests["production"] == digests["v2"]


def test_names_that_are_not_ours_are_never_looked_at(world: tuple[Host, FakeHost, Placement], clock: Clock) -> None:
    row, fake, _placement = world
    fake._change("names.json", {"llama:1b": OTHER})

    assert look_at(row, clock) == []
