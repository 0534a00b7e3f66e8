"""The thread that follows the database: what one client's rows, a slow load or a silent line may not do to the rest."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from tenants.models import SettingsRevision
from tests import factories
from tests.flow.gateway.conftest import Door, Ground, lay_ground
from tests.flow.gateway.double import wait_for
from tests.flow.gateway.test_shares import serves


def test_a_client_whose_settings_cannot_be_read_stops_nobody_elses_routes(
    door: Door, ground: Ground, caplog: pytest.LogCaptureFixture
) -> None:
    birch = lay_ground(factories.make_client(slug="birch"), ground.double)
    wait_for(lambda: door.post("/api/chat", {"model": "support", "stream": False}, key=birch.key).status_code == 200)
    body = rewrite(ground, {"criteria": {"output": {"kind": "label"}}})
    ground.flip(2)
    with caplog.at_level(logging.ERROR):
        wait_for(lambda: ground.client.pk in door.gateway.follower._unreadable)
        thread = door.gateway.follower._thread
        for number in (2, 1, 2):
            serial = birch.flip(number)
            wait_for(lambda serial=serial: door.gateway.follower.current.clients[birch.client.pk].serial == serial)
    assert serves(door, "v1"), "the last picture of the client itself stands"
    assert door.gateway.follower._thread is thread and thread is not None and thread.is_alive()
    assert sum("cannot be read" in line.message for line in caplog.records) == 1

    fresh = factories.make_key(birch.client, "gateway")
    assert door.get("/api/tags", key=fresh).status_code == 200, "new keys of others are looked up"
    rewrite(ground, body)
    wait_for(lambda: serves(door, "v2"), within_s=15)


def rewrite(ground: Ground, body: dict[str, Any]) -> dict[str, Any]:
    """What only a hand in the database can do to a revision; gives what stood there."""
    with factories.inside(ground.client):
        rows = SettingsRevision.objects.filter(pipeline=ground.pipeline)
        before: dict[str, Any] = rows.get().body
        rows.update(body=body)
    return before
