"""A rollback while the database is away: one command, and everything follows when it is back."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection
from django.utils.timezone import now

from agency.gateway.__main__ import flip as flip_by_command
from agency.management.commands.ledger import walk
from pipelines.models import Job, ModelVersion, Placement, Rollback, Rollout, Route
from pipelines.reports.changes.ledger import served_at
from pipelines.shipping.back.insisting import is_overtaken
from pipelines.shipping.route import flip
from tenants.models import AuditEvent
from tests import factories
from tests.flow.gateway.conftest import Door, Ground, Open
from tests.flow.gateway.double import wait_for
from tests.flow.gateway.test_outage import database_away, version_of

NOBODY_AT_WORK = "pipelines.engine.dispatch.work_job"


@pytest.fixture
def on_v2(ground: Ground, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ground:
    """v2 replaced v1. Jobs stay due: the workers have no database either."""
    monkeypatch.setattr(NOBODY_AT_WORK, lambda *_: None)
    settings.VAR = tmp_path
    with factories.inside(ground.client):
        ModelVersion.objects.filter(number=1).update(status="archived")
        Rollout.objects.filter(version=ground.versions[2]).update(previous=ground.versions[1])
    ground.flip(2)
    return ground


def order(*words: str) -> str:
    out = StringIO()
    call_command("rollback", "acorn/support", *words, reason="angry users", stdout=out, stderr=StringIO())
    return out.getvalue()


def state(ground: Ground) -> tuple[int, list[tuple[str, str, str]]]:
    connection.close()
    with factories.inside(ground.client):
        made = [(r.from_version.label, r.target.label, r.sentence) for r in Rollback.objects.all()]
        return Route.objects.select_related("production").get().production.number, made


def test_without_the_database_both_gateways_obey_and_the_database_follows(open_door: Open, on_v2: Ground) -> None:
    doors = [open_door("one"), open_door("two")]
    for door in doors:
        wait_for(lambda door=door: version_of(door) == "v2")
    with database_away():
        text = order()
        assert text.count("v1 answers all traffic") == 2
        assert [version_of(door) for door in doors] == ["v1", "v1"]
    wait_for(lambda: state(on_v2)[1] != [])
    assert state(on_v2) == (1, [("v2", "v1", "angry users")])
    wait_for(lambda: not any(door.gateway.follower.standing_orders() for door in doors))
    assert [version_of(door) for door in doors] == ["v1", "v1"]
    with factories.inside(on_v2.client):
        acts = list(AuditEvent.objects.filter(client=on_v2.client).order_by("seq"))
    assert [act.detail["reason"] for act in acts if act.verb == "gateway.flip"] == ["angry users"] * 2
    assert walk(acts).broken == ""


def test_an_order_does_not_undo_what_somebody_decided_in_the_database_meanwhile(
    open_door: Open, on_v2: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    door = open_door("one")
    wait_for(lambda: version_of(door) == "v2")
    settle = door.gateway.follower.journal.settle
    monkeypatch.setattr(door.gateway.follower.journal, "settle", lambda: None)
    with database_away():
        order("--to", "v1")
    with factories.inside(on_v2.client):
        flip(on_v2.versions[2], factories.NOW)  # Whoever does this knows of the newest state.
        settle()
    assert state(on_v2) == (2, [])
    wait_for(lambda: version_of(door) == "v2")


@pytest.fixture
def in_canary(on_v2: Ground) -> Ground:
    """v1 answers again, and v2 is on its way up beside it."""
    on_v2.flip(1, 2, 0.05)
    return on_v2


def test_the_same_order_twice_goes_back_once(open_door: Open, on_v2: Ground) -> None:
    """v2 answers beside its candidate v3: the way back from v3 is v2, and from there it would be v1."""
    on_v2.versions[3] = factories.make_production(on_v2.pipeline).model_version
    on_v2.flip(2, 3, 0.05)
    door = open_door("one")
    wait_for(lambda: getattr(door.gateway.follower.current.entry("acorn", "support"), "candidate", None) == 3)
    with database_away():
        order()
        with pytest.raises(CommandError, match=r"An order sent acorn/support to v2 already.*name the version"):
            order()
        assert version_of(door) == "v2"
        order("--to", "v1")
        assert version_of(door) == "v1"


def ordered_without_the_database(door: Door, ground: Ground, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """v1 is ordered, and nothing is settled before what it gives is called."""
    follower = door.gateway.follower
    wait_for(lambda: getattr(follower.current.entry("acorn", "support"), "candidate", None) == 2)
    settle = follower.journal.settle
    monkeypatch.setattr(follower.journal, "settle", lambda: None)
    with database_away():
        order("--to", "v1")
    return lambda: monkeypatch.setattr(follower.journal, "settle", settle)


def has_seen(door: Door, serial: int) -> bool:
    return any(client.serial >= serial for client in door.gateway.follower._loaded.values())


def test_the_canarys_own_next_step_does_not_undo_an_order(
    open_door: Open, in_canary: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    door = open_door("one")
    settle_again = ordered_without_the_database(door, in_canary, monkeypatch)
    serial = in_canary.flip(1, 2, 1.0)  # The worker has a database again before this gateway has.
    wait_for(lambda: has_seen(door, serial))
    assert version_of(door) == "v1"
    settle_again()
    wait_for(lambda: state(in_canary)[1] != [])
    assert state(in_canary) == (1, [("v2", "v1", "angry users")])
    wait_for(lambda: not door.gateway.follower.standing_orders())
    assert version_of(door) == "v1"
    with factories.inside(in_canary.client):
        assert Route.objects.get().candidate is None


def test_what_follows_an_order_comes_after_all_that_its_rollout_did_meanwhile(
    open_door: Open, in_canary: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its hosts are told of it for a day from now, and the ledger says what serves."""
    settle_again = ordered_without_the_database(open_door("one"), in_canary, monkeypatch)
    with factories.inside(in_canary.client):
        taken = Rollout.objects.get(version=in_canary.versions[2])
        flip(taken.version, now(), rollout=taken)
        Rollout.objects.filter(pk=taken.pk).update(status="live", live_at=now())
    settle_again()
    wait_for(lambda: state(in_canary) == (1, [("v2", "v1", "angry users")]))
    with factories.inside(in_canary.client):
        made, live = Rollback.objects.get(), Rollout.objects.get(pk=taken.pk)
        assert made.rollout == live and made.decided_at < live.live_at < made.flipped_at
        assert not is_overtaken(made)
        assert Job.objects.get(kind=f"restore:{made.pk}").created_at > live.live_at
        serving = served_at(in_canary.client, now()).picture.serving
        assert {slug: served.production["version"] for slug, served in serving.items()} == {"support": "v1"}


def test_a_person_who_promotes_after_an_order_has_decided(
    open_door: Open, in_canary: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    door = open_door("one")
    settle_again = ordered_without_the_database(door, in_canary, monkeypatch)
    chosen = in_canary.versions[2]
    with factories.inside(in_canary.client):
        serial = flip(chosen, factories.NOW, rollout=chosen.run.rollout, by="owner").serial
    wait_for(lambda: has_seen(door, serial))
    settle_again()
    wait_for(lambda: not door.gateway.follower.journal.pending())
    wait_for(lambda: version_of(door) == "v2")
    assert state(in_canary) == (2, [])


def test_orders_are_settled_before_routes_are_read(open_door: Open, in_canary: Ground) -> None:
    follower, done = open_door("one").gateway.follower, []
    follower.stop()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(follower.journal, "settle", lambda: done.append("settled"))
        patch.setattr(follower, "_look", lambda is_told: done.append("read") or True)
        assert follower._poll(is_told=True)
    assert done == ["settled", "read"]


def test_without_database_and_gateway_the_command_says_so(on_v2: Ground) -> None:
    with database_away(), pytest.raises(CommandError, match="No gateway listens on this machine"):
        order()


def test_an_order_for_a_version_that_lies_on_no_host_is_refused_by_name(open_door: Open, on_v2: Ground) -> None:
    door = open_door("one")
    wait_for(lambda: version_of(door) == "v2")
    with database_away(), pytest.raises(CommandError, match="v9 of acorn/support lies on no host"):
        order("--to", "v9")
    assert version_of(door) == "v2"


def test_an_order_that_the_database_does_not_follow_ends_when_its_version_leaves_the_hosts(
    open_door: Open, on_v2: Ground, caplog: pytest.LogCaptureFixture
) -> None:
    with factories.inside(on_v2.client):
        ModelVersion.objects.filter(number=1).update(status="rejected", promoted_at=None)
    door = open_door("one")
    wait_for(lambda: version_of(door) == "v2")
    follower = door.gateway.follower
    follower.order("acorn", "support", 1)
    wait_for(lambda: not follower.journal.pending())
    assert version_of(door) == "v1" and state(on_v2) == (2, [])
    with factories.inside(on_v2.client):
        Placement.objects.filter(version=on_v2.versions[1]).delete()
    wait_for(lambda: not follower.standing_orders(), within_s=30)
    assert version_of(door) == "v2" and door.get("/api/tags").status_code == 200
    assert "The order of v1 for acorn/support is over" in caplog.text


def test_a_gateway_that_closes_without_an_answer_keeps_an_order_from_no_other(
    open_door: Open, on_v2: Ground, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    door = open_door("one")
    wait_for(lambda: version_of(door) == "v2")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dying:
        dying.bind(str(tmp_path / "gateway-a.sock"))
        dying.listen()

        def close() -> None:
            connection, _ = dying.accept()
            connection.recv(1000)
            connection.close()

        thread = threading.Thread(target=close)
        thread.start()
        assert flip_by_command("acorn/support:v1") == 1
        thread.join(10)
    said = capsys.readouterr().out
    assert "gateway-a.sock: The connection was closed without an answer." in said
    assert "gateway-one.sock: flipped" in said and version_of(door) == "v1"
