"""Hosts over time: looked at when due, sampled at each change, asked less often when long down; drained and shut in."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from agency.gateway.routes.agents import part_of
from agency.gateway.routes.loading import load_client
from pipelines.actions import ActionRefused
from pipelines.actions import hosts as acts
from pipelines.fleet import look
from pipelines.hosts.fake import FakeHost
from pipelines.models import Placement
from pipelines.outbound import Access
from pipelines.reports.hosts import host_page, outages
from tenants import crossing
from tenants.actions import add_host
from tenants.models import AuditEvent, Client, Host, HostSample, Pipeline
from tests import factories
from tests.conftest import Clock
from tests.unit.outbound.answering import says, server

pytestmark = pytest.mark.django_db


@pytest.fixture
def fake(acorn: Client, tmp_path: Path) -> FakeHost:
    return FakeHost(str(tmp_path / "fake"), Access())


@pytest.fixture
def row(acorn: Client, fake: FakeHost, clock: Clock) -> Host:
    made = factories.make_host(acorn, url=f"fake://{fake.root}")
    with factories.inside(acorn):
        Host.objects.filter(pk=made.pk).update(kind="fake", due_at=clock.now)
    made.refresh_from_db()
    return made


@pytest.fixture(autouse=True)
def in_scope(acorn: Client) -> object:
    with factories.inside(acorn):
        yield


def look_on(row: Host, clock: Clock, **by: float) -> Host:
    clock.advance(**by)
    Host.objects.filter(pk=row.pk).update(due_at=clock.now)
    look.look_at(row.pk, clock.now)
    row.refresh_from_db()
    return row


def test_a_host_is_looked_at_from_the_moment_it_is_added(acorn: Client, fake: FakeHost, clock: Clock) -> None:
    """Whoever adds it: a page that asked it already, or a program that did not."""
    made = add_host(acorn, "attic", f"fake://{fake.root}", "tests", clock.now, kind="fake")

    assert crossing.due("due_hosts", clock.now) == [(acorn.pk, made.pk)]
    look.look_at(made.pk, clock.now)
    assert Host.objects.get(pk=made.pk).facts["version"] == "0.33.0"


def test_a_look_keeps_what_the_host_said_and_when_it_is_looked_at_next(row: Host, clock: Clock) -> None:
    look.look_at(row.pk, clock.now)

    row.refresh_from_db()
    assert row.facts["version"] == "0.33.0" and row.facts["models"] == []
    assert row.due_at == clock.now + timedelta(seconds=60)
    assert HostSample.objects.get().is_up


def test_two_tickers_look_once(row: Host, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    stale = Host.objects.get(pk=row.pk)
    look.look_at(row.pk, clock.now)

    assert not look._claim(stale, clock.now)


def test_a_host_that_is_not_due_or_switched_off_is_left_alone(row: Host, clock: Clock) -> None:
    look.look_at(row.pk, clock.now - timedelta(seconds=1))
    Host.objects.filter(pk=row.pk).update(is_enabled=False)
    look.look_at(row.pk, clock.now)

    assert not HostSample.objects.exists()


def test_samples_stand_at_each_change_and_every_five_minutes(row: Host, fake: FakeHost, clock: Clock) -> None:
    for _ in range(6):
        look_on(row, clock, minutes=1)  # The first, and one five minutes later.
    fake.fail("down")
    look_on(row, clock, minutes=1)
    look_on(row, clock, minutes=1)
    fake.fail("")
    look_on(row, clock, minutes=1)

    states = list(HostSample.objects.order_by("at").values_list("is_up", flat=True))
    assert states == [True, True, False, True]
    (outage,) = outages(list(HostSample.objects.order_by("at")))
    assert outage.seconds(clock.now) == 120 and "does not answer" in outage.reason


def test_one_that_is_long_down_is_asked_every_five_minutes(row: Host, fake: FakeHost, clock: Clock) -> None:
    look_on(row, clock)
    fake.fail("down")
    assert look_on(row, clock, minutes=1).due_at == clock.now + timedelta(minutes=1)

    assert look_on(row, clock, minutes=15).due_at == clock.now + timedelta(minutes=5)


def test_the_page_of_a_host_that_is_down_says_since_when(row: Host, fake: FakeHost, clock: Clock) -> None:
    look_on(row, clock)
    fake.fail("down")
    look_on(row, clock, minutes=30)

    page = host_page(row, clock.advance(minutes=30))

    assert page.outages[0].until is None
    assert len(page.chart.gaps) == 1 and page.chart.up_share == 0.5


def test_a_drained_host_gets_no_traffic_that_another_can_take(pipeline: Pipeline, clock: Clock) -> None:
    run = factories.make_production(pipeline)
    first = Host.objects.get(name="shop")
    second = factories.make_host(pipeline.client, "berlin")
    fields = {"model_name": "deploy.invalid/acorn/support:v1", "placed_at": clock.now, "facts": {}}
    Placement.objects.filter(version=run.model_version).delete()
    for host in (first, second):
        Placement.of(run.model_version, version=run.model_version, host=host, **fields).save()

    acts.drain(first, actor="tests", reason="new memory", now=clock.now)
    assert places(pipeline) == ["berlin"]
    acts.drain(second, actor="tests", reason="new memory too", now=clock.now)
    assert places(pipeline) == ["berlin", "shop"], "what nobody else can take stays"

    acts.undrain(first, actor="tests", reason="done", now=clock.now)
    assert places(pipeline) == ["shop"]
    assert [e.verb for e in AuditEvent.objects.filter(verb__startswith="host.").order_by("seq")][-3:] == [
        "host.drain", "host.drain", "host.undrain",
    ]  # fmt: skip


def test_draining_one_host_of_a_mixed_client_takes_nobody_their_answers(pipeline: Pipeline, clock: Clock) -> None:
    run = factories.make_production(pipeline)
    cloud, office = Host.objects.get(name="shop"), factories.make_host(pipeline.client, "office")
    Host.objects.filter(pk=office.pk).update(kind="agent", url="http://office.agent.invalid")
    office.refresh_from_db()
    fields = {"model_name": "deploy.invalid/acorn/support:v1", "placed_at": clock.now, "facts": {}}
    Placement.objects.filter(version=run.model_version).delete()
    for host in (cloud, office):
        Placement.of(run.model_version, version=run.model_version, host=host, **fields).save()

    acts.drain(cloud, actor="tests", reason="new memory", now=clock.now)
    assert places(pipeline) == ["office", "shop"], "here nobody but it can answer"
    acts.undrain(cloud, actor="tests", reason="done", now=clock.now)
    acts.drain(office, actor="tests", reason="new memory", now=clock.now)
    assert places(pipeline) == ["office", "shop"], "beside it nobody else can answer"
    client = load_client(pipeline.client_id)
    assert client is not None and part_of(client, "office")["pipelines"].keys() == {"support"}


def places(pipeline: Pipeline) -> list[str]:
    client = load_client(pipeline.client_id)
    assert client is not None
    target = client.pipelines["support"].target(1)
    assert target is not None
    return [place.host for place in target.places]


def test_a_drain_needs_a_reason_and_happens_once(row: Host, clock: Clock) -> None:
    with pytest.raises(ActionRefused):
        acts.drain(row, actor="tests", reason=" ", now=clock.now)
    acts.drain(row, actor="tests", reason="new memory", now=clock.now)
    with pytest.raises(ActionRefused, match="already"):
        acts.drain(row, actor="tests", reason="again", now=clock.now)


def test_what_we_show_a_host_is_sealed_and_used(acorn: Client, clock: Clock) -> None:
    asked: list[str] = []

    def proxy(handler: object) -> None:
        asked.append(handler.headers.get("Authorization", ""))  # type: ignore[attr-defined]
        body = b'{"version": "0.33.0", "models": []}'
        says(body, 200 if asked[-1] == "Bearer s3cret" else 401)(handler)  # type: ignore[arg-type]

    with server(proxy) as port:
        host = factories.make_host(acorn, "behind", f"http://127.0.0.1:{port}")
        assert look.ask(host).error is not None
        acts.set_access(host, Access.bearer("s3cret"), actor="tests", now=clock.now)
        host.refresh_from_db()
        assert look.ask(host).is_up

    assert set(asked) == {"", "Bearer s3cret"}
    assert host.access == ["Authorization"] and "s3cret" not in host.sealed
    assert "s3cret" not in str(AuditEvent.objects.filter(verb="host.access").values_list("detail"))


def test_a_secret_that_cannot_be_read_any_more_says_what_to_do(row: Host, clock: Clock) -> None:
    Host.objects.filter(pk=row.pk).update(sealed="of another key")
    look_on(row, clock)

    assert "enter it again" in row.facts["error"]


def test_on_a_shared_host_the_neighbours_models_are_told_from_our_alias(row: Host, clock: Clock) -> None:
    names = ["deploy.invalid/acorn/support:production", "deploy.invalid/acorn/support:v9", "deploy.invalid/birch/x:v1"]
    models = [{"name": name, "digest": name, "size_bytes": 1} for name in [*names, "llama3:latest"]]
    Host.objects.filter(pk=row.pk).update(facts={"models": models})
    row.refresh_from_db()

    told = {held.name: (held.is_alias, held.is_own, held.is_ours) for held in host_page(row, clock.now).held}

    assert list(told.values()) == [(True, True, True), (False, True, True), (False, False, True), (False, False, False)]
