"""An agent behind more than one gateway, and behind one whose database is of yesterday."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from django.db import OperationalError
from django.utils import timezone

from agency.gateway.app import Gateway, beside, nothing_else
from agency.gateway.routes.agents import AGENT_PATH, AgentDoor
from pipelines.shipping.route import flip
from tests import factories
from tests.flow.gateway.double import asgi_server, wait_for
from tests.flow.machines.test_agents import Box


@contextmanager
def gateway_at(var: Path, name: str, wait_s: float) -> Iterator[tuple[Gateway, str]]:
    gateway = Gateway(name, var)
    gateway.doors[AGENT_PATH] = AgentDoor(gateway.follower, wait_s=wait_s).answer
    with asgi_server(beside(gateway, nothing_else)) as url:
        yield gateway, url


def asks(url: str, token: str, **asked: Any) -> dict[str, Any]:
    answer = httpx2.get(f"{url}{AGENT_PATH}", params=asked, headers={"Authorization": f"Bearer {token}"}, timeout=30)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.django_db(transaction=True)
def test_a_gateway_that_lost_its_database_takes_no_newer_routes_back(tmp_path: Path) -> None:
    client = factories.make_client(slug="acorn")
    box, pipeline = Box(client), factories.make_pipeline(client)
    runs = [factories.make_production(pipeline) for _ in range(2)]
    with factories.inside(client):
        first, second = (run.model_version for run in runs)
        flip(first, timezone.now())
    with gateway_at(tmp_path, "one", 1.0) as (_, sound), gateway_at(tmp_path, "two", 1.0) as (cut, lost):
        before = wait_told(lost, box.token, 1)
        connection_lost(cut)
        with factories.inside(client):
            flip(second, timezone.now())
        now = wait_told(sound, box.token, 2)
        has = {"have": now["digest"], "serial": now["client"]["serial"]}
        for _ in range(2):
            began = time.monotonic()
            told = asks(lost, box.token, **has)
            assert (told["client"], told["digest"]) == (None, before["digest"])
            assert time.monotonic() - began >= 1.0, "nor does it answer at once"
            assert asks(sound, box.token, **has)["client"] is None
        old_program = asks(lost, box.token, have=now["digest"])
        assert old_program["client"]["serial"] < has["serial"]


@pytest.mark.django_db(transaction=True)
def test_a_database_that_was_restored_is_told_at_the_end_of_a_wait(tmp_path: Path) -> None:
    client = factories.make_client(slug="acorn")
    box, run = Box(client), factories.make_production(factories.make_pipeline(client))
    with factories.inside(client):
        flip(run.model_version, timezone.now())
    with gateway_at(tmp_path, "one", 1.0) as (_, url):
        serial = wait_told(url, box.token, 1)["client"]["serial"]
        began = time.monotonic()
        told = asks(url, box.token, have="of a time that was lost", serial=serial + 5)
    assert told["client"]["serial"] == serial and time.monotonic() - began >= 1.0


def wait_told(url: str, token: str, production: int) -> dict[str, Any]:
    """What it tells as soon as this version answers."""
    told: dict[str, Any] = {}

    def is_told() -> bool:
        told.update(asks(url, token))
        entry = told["client"]["pipelines"].get("support")
        return entry is not None and entry["production"] == production

    wait_for(is_told, within_s=30)
    return told


def connection_lost(gateway: Gateway) -> None:
    def gone(_: bool) -> bool:
        raise OperationalError("server closed the connection unexpectedly")

    gateway.follower._poll = gone  # type: ignore[method-assign]
    wait_for(lambda: gateway.follower.is_reachable is False)
