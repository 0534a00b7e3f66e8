"""Without the database: the last routes stand, across a restart too, orders land, and the meter keeps its records."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.db import OperationalError, connection
from django.db.backends.utils import CursorWrapper

from agency.gateway.routes.orders import send_order
from pipelines.models import Exchange
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


def test_a_gateway_that_starts_without_the_database_serves_what_it_served(open_door: Open, ground: Ground) -> None:
    first = open_door("one")
    wait_for(lambda: version_of(first) == "v1" and first.gateway.follower.file.exists())
    with database_away():
        second = open_door("one")
        assert version_of(second) == "v1"
        order = {"flip": {"client": "acorn", "pipeline": "support", "to_version": 2}}
        assert send_order(second.gateway.admin.path, order)["ok"] and version_of(second) == "v2"
        wait_for(lambda: b'"to_version":2' in second.gateway.follower.file.read_bytes())
