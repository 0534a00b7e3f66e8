"""The same on PostgreSQL, as the role that row-level security binds: two writers of one minute, and a real outage."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from django.db import connection

from agency.gateway.routes.orders import send_order
from pipelines.models import Exchange, Traffic
from tenants.models import AuditEvent
from tests import factories
from tests.flow.gateway.conftest import Ground, Open, lay_ground
from tests.flow.gateway.double import Double, wait_for
from tests.flow.gateway.test_shares import ask_many, serves
from tests.flow.gateway.vanishing import relay
from tests.installation import Installation, as_default


@pytest.fixture
def ground(on_postgres: Installation, double: Double) -> Ground:
    return lay_ground(factories.make_client(slug="acorn"), double)


@contextmanager
def refusing(installation: Installation) -> Iterator[None]:
    """The database ends every connection and takes no new one."""
    with psycopg.connect(installation.admin_url, autocommit=True) as admin:
        admin.execute("ALTER DATABASE retune WITH ALLOW_CONNECTIONS false")
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'retune'")
        try:
            yield
        finally:
            admin.execute("ALTER DATABASE retune WITH ALLOW_CONNECTIONS true")


def rows(ground: Ground) -> list[Exchange]:
    with factories.inside(ground.client):
        return list(Exchange.objects.order_by("pk"))


def test_two_gateways_write_one_minute_together_and_lose_nothing(ground: Ground, open_door: Open) -> None:
    doors = [open_door("one"), open_door("two")]
    serial = ground.flip(1, candidate=2, share=0.5)
    for door in doors:
        wait_for(lambda door=door: door.gateway.status()["serial"] == serial)

    async def both() -> list[int]:
        keys = [f"key {n}" for n in range(100)]
        answers = await asyncio.gather(*(ask_many(door, keys) for door in doors))
        return [status for of_door in answers for status, _, _ in of_door]

    assert Counter(asyncio.run(both())) == {200: 200}
    wait_for(lambda: len(rows(ground)) == 200)
    with factories.inside(ground.client):
        minutes = Traffic.objects.all()
        assert sum(row.requests for row in minutes) == sum(sum(row.latency.values()) for row in minutes) == 200
    arms: dict[str, set[str]] = {}
    for row in rows(ground):
        arms.setdefault(row.key_hash, set()).add(row.arm)
    assert len(arms) == 100 and all(len(of_key) == 1 for of_key in arms.values())


def test_a_commit_is_told_and_followed_long_before_the_next_look(
    ground: Ground, open_door: Open, on_postgres: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agency.gateway.routes.follower.TOLD_POLL_S", 30.0)
    door = open_door()
    follower = door.gateway.follower
    assert serves(door, "v1")
    wait_for(lambda: listeners(on_postgres) == 1)
    ground.flip(2)  # The first word shows that the line works; from then on looks are rare.
    wait_for(lambda: follower.listener.is_hearing)
    for number in (1, 2, 1):
        serial = ground.flip(number)
        assert wait_for(lambda serial=serial: door.gateway.status()["serial"] == serial) < 5


def test_a_line_that_went_silent_is_found_out_and_opened_anew(
    ground: Ground, open_door: Open, on_postgres: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agency.gateway.routes.listener.AGAIN_S", 0.1)
    door = open_door()
    follower = door.gateway.follower
    wait_for(lambda: listeners(on_postgres) == 1)
    ground.flip(2)
    wait_for(lambda: follower.listener.is_hearing)
    with psycopg.connect(on_postgres.owner_url, autocommit=True) as owner:
        owner.execute("ALTER TABLE pipelines_route DISABLE TRIGGER routes_changed")
        # The word of the flip before may still be on its way: then the look that finds the first of these was told.
        for number in (1, 2):
            serial = ground.flip(number)
            assert wait_for(lambda serial=serial: door.gateway.status()["serial"] == serial) < 3  # By the look alone.
        wait_for(lambda: not follower.listener.is_hearing)
        owner.execute("ALTER TABLE pipelines_route ENABLE TRIGGER routes_changed")
    with psycopg.connect(on_postgres.admin_url, autocommit=True) as admin:
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'")
    wait_for(lambda: listeners(on_postgres) == 1)
    ground.flip(1)
    wait_for(lambda: follower.listener.is_hearing)


def listeners(installation: Installation) -> int:
    with psycopg.connect(installation.admin_url) as admin:
        query = "SELECT count(*) FROM pg_stat_activity WHERE query = 'LISTEN retune_routes'"
        found = admin.execute(query).fetchone()
    assert found is not None
    return int(found[0])


def test_a_database_that_vanished_without_a_word_is_connected_to_anew(
    ground: Ground, open_door: Open, on_postgres: Installation
) -> None:
    with relay(on_postgres) as line, as_default(f"{line.url}?keepalives_idle=1&tcp_user_timeout=2000"):
        door = open_door()
        wait_for(lambda: serves(door, "v1") and door.gateway.follower.is_reachable and len(line.inner) >= 2)
        connection.close()
        line.vanish()
        serial = ground.flip(2)  # Over a connection of its own: new ones get through.
        assert wait_for(lambda: door.gateway.status()["serial"] == serial, within_s=20) < 15
        assert serves(door, "v2")
        wait_for(lambda: door.gateway.follower.is_reachable)


def test_through_an_outage_routes_stand_orders_land_and_records_arrive(
    ground: Ground, open_door: Open, on_postgres: Installation
) -> None:
    door = open_door()
    assert serves(door, "v1")
    with refusing(on_postgres):
        wait_for(lambda: door.gateway.follower.is_reachable is False)
        assert all(serves(door, "v1") for _ in range(3))
        order = {"flip": {"client": "acorn", "pipeline": "support", "to_version": 2}}
        assert send_order(door.gateway.admin.path, order)["ok"] and serves(door, "v2")
    wait_for(lambda: door.gateway.follower.is_reachable)
    assert serves(door, "v2")
    wait_for(lambda: door.gateway.meter.pending == 0)
    connection.close()
    assert Counter(row.version_id for row in rows(ground)) == {ground.versions[1].pk: 4, ground.versions[2].pk: 2}
    wait_for(lambda: not door.gateway.follower.journal.pending())
    with factories.inside(ground.client):
        assert AuditEvent.objects.get(verb="gateway.flip").subject == "support to v2"
