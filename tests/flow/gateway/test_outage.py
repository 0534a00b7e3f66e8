"""Without the database: the last routes stand, across a restart too, orders land, and the meter keeps its records."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest
from django.db import OperationalError, connection
from django.db.backends.utils import CursorWrapper

from agency.gateway.routes.follower import Follower
from agency.gateway.routes.journal import VERB, Journal
from agency.gateway.routes.orders import send_order
from agency.management.commands.ledger import walk
from pipelines.models import Exchange
from tenants.models import AuditEvent
from tests import factories
from tests.flow.gateway.conftest import Door, Ground, Open
from tests.flow.gateway.double import wait_for


@contextmanager
def database_away() -> Iterator[None]:
    """Every statement fails as it does when the server has gone."""
    with pytest.MonkeyPatch.context() as patch:

        def gone(*args: object, **kwargs: object) -> None:
            raise OperationalError("server closed the connection unexpectedly")

        patch.setattr(CursorWrapper, "execute", gone)
        patch.setattr(CursorWrapper, "executemany", gone)
        yield


def version_of(door: Door) -> str:
    return door.chat().headers["x-retune-version"]


def rows(ground: Ground) -> int:
    connection.close()
    with factories.inside(ground.client):
        return Exchange.objects.count()


def test_the_last_routes_stand_and_records_are_written_later(door: Door, ground: Ground) -> None:
    assert version_of(door) == "v1"
    with database_away():
        wait_for(lambda: door.gateway.follower.is_reachable is False)
        assert [door.chat().status_code for _ in range(5)] == [200] * 5
        wait_for(lambda: not door.gateway.meter.is_reachable)
        assert door.gateway.meter.pending >= 5
    wait_for(lambda: rows(ground) == 6)
    wait_for(lambda: door.gateway.follower.is_reachable)
    ground.flip(2)
    assert wait_for(lambda: version_of(door) == "v2") < 1.5


def recorded(ground: Ground) -> list[tuple[str, str, str]]:
    connection.close()
    with factories.inside(ground.client):
        acts = AuditEvent.objects.filter(verb="gateway.flip").order_by("seq")
        return [(act.actor, act.subject, act.detail["from"]) for act in acts]


def test_orders_given_without_the_database_stand_in_the_ledger_once_it_is_back(open_door: Open, ground: Ground) -> None:
    first = open_door("one")
    wait_for(lambda: version_of(first) == "v1" and first.gateway.follower.file.exists())
    given = datetime.now(UTC)
    with database_away():
        wait_for(lambda: first.gateway.follower.is_reachable is False)
        for number in (2, 1, 2):
            order = {"flip": {"client": "acorn", "pipeline": "support", "to_version": number}}
            assert send_order(first.gateway.admin.path, order)["ok"]
        first.gateway.follower.stop()  # As when it is killed: what it noted lies on the disk.
        again = Follower(first.gateway.follower.file)
        assert len(again.journal.pending()) == 3
    back = datetime.now(UTC)
    again.start()
    wait_for(lambda: len(recorded(ground)) == 3)
    wait_for(lambda: not again.journal.pending())
    again.stop()

    who = "admin socket of gateway one"
    assert recorded(ground) == [(who, f"support to v{to}", f"v{gone}") for gone, to in ((1, 2), (2, 1), (1, 2))]
    with factories.inside(ground.client):
        chain = list(AuditEvent.objects.filter(client=ground.client).order_by("seq"))
    assert [given <= act.at <= back for act in chain if act.verb == VERB] == [True] * 3
    assert (chain[-1].verb, chain[-1].at >= back) == ("route.flip", True), "what follows the last order comes now"
    assert walk(chain).broken == ""


def test_an_order_that_was_recorded_before_a_kill_is_not_recorded_twice(open_door: Open, ground: Ground) -> None:
    door = open_door("one")
    wait_for(lambda: version_of(door) == "v1")
    order = {"flip": {"client": "acorn", "pipeline": "support", "to_version": 2}}
    journal = door.gateway.follower.journal
    with database_away():
        send_order(door.gateway.admin.path, order)
        (place,) = journal.pending()
        noted = place.read_bytes()
    wait_for(lambda: not journal.pending())
    place.write_bytes(noted)  # The kill came between the ledger and the journal.
    (place.parent / "broken.json").write_bytes(b"{")

    with factories.inside(ground.client):
        Journal(journal.folder).settle()

    assert len(recorded(ground)) == 1 and journal.pending() == []


def test_a_gateway_that_starts_without_the_database_serves_what_it_served(open_door: Open, ground: Ground) -> None:
    first = open_door("one")
    wait_for(lambda: version_of(first) == "v1" and first.gateway.follower.file.exists())
    with database_away():
        second = open_door("one")
        assert version_of(second) == "v1"
        order = {"flip": {"client": "acorn", "pipeline": "support", "to_version": 2}}
        assert send_order(second.gateway.admin.path, order)["ok"] and version_of(second) == "v2"
        wait_for(lambda: b'"to_version":2' in second.gateway.follower.file.read_bytes())
