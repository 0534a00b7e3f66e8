"""The thread that follows the database: what one client's rows, a slow load or a silent line may not do to the rest."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from agency.gateway.plane import READY_PATH
from agency.gateway.routes import follower as following
from agency.gateway.routes.follower import Follower
from agency.gateway.routes.snapshot import ClientRoutes
from tenants.models import SettingsRevision
from tests import factories
from tests.flow.gateway.conftest import Door, Ground, Open, lay_ground
from tests.flow.gateway.double import wait_for
from tests.flow.gateway.test_outage import database_away
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


CLIENTS = 100


def many(name: str, digest: str = "", **_: Any) -> list[tuple[int, ...]]:
    """A database of many clients with a key each: `key 7` is the seventh's."""
    every = range(1, CLIENTS + 1)
    match name:
        case "routes_since":
            return [(number, number) for number in every]
        case "all_clients":
            return [(0, number) for number in every]
        case "key_by_digest":
            return [(number, 0) for number in every if digest == f"key {number}"]
    return []


def one_of_many(client_id: int) -> ClientRoutes:
    return ClientRoutes(client_id, f"c{client_id}", frozenset({f"key {client_id}"}), {}, client_id)


@contextmanager
def followed(file: Path, ask: Callable[..., Any], load: Callable[[int], ClientRoutes]) -> Iterator[Follower]:
    follower = Follower(file)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(following, "ask", ask)
        patch.setattr(following, "load_client", load)
        follower.start()
        yield follower
        follower.stop()


def test_a_key_is_not_called_invalid_while_its_client_waits_to_be_loaded(tmp_path: Path) -> None:
    loads: list[int] = []

    def load(client_id: int) -> ClientRoutes:
        time.sleep(0.03)
        loads.append(client_id)
        return one_of_many(client_id)

    with followed(tmp_path / "routes" / "one.json", many, load) as follower:
        found = asyncio.run(follower.client_of(f"key {CLIENTS}"))
        assert found is not None and found.client_id == CLIENTS
        assert not follower.is_ready and len(loads) < CLIENTS / 2, "it was looked up between two loads"
        assert asyncio.run(follower.client_of("nobody's key")) is None
        wait_for(lambda: follower.is_ready)
        assert len(loads) < 1.5 * CLIENTS, "the first sweep loads nobody again"


def test_without_database_and_file_a_valid_key_is_asked_to_come_again(open_door: Open, ground: Ground) -> None:
    with database_away():
        door = open_door()
        wait_for(lambda: door.gateway.follower.is_reachable is False)
        native, openai = door.chat(), door.post("/v1/chat/completions", {"model": "support"})
        assert (native.status_code, openai.status_code, native.headers["retry-after"]) == (503, 503, "1")
        assert "cannot be looked up right now" in native.json()["error"]
        assert door.get(READY_PATH).status_code == 503
        assert door.get("/healthz").status_code == 200
    wait_for(lambda: door.get(READY_PATH).status_code == 200)
    assert door.chat().status_code == 200
    assert door.post("/api/chat", {"model": "support"}, key="rk_00000000_nobody").status_code == 401


def test_a_gateway_that_has_a_file_is_ready_without_the_database(open_door: Open, ground: Ground) -> None:
    first = open_door("one")
    wait_for(lambda: serves(first, "v1") and first.gateway.follower.file.exists())
    with database_away():
        assert open_door("one").get(READY_PATH).status_code == 200


def test_a_database_that_says_nothing_counts_as_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "SILENT_S", 0.3)
    answers = threading.Event()
    answers.set()

    def ask(name: str, **params: Any) -> list[tuple[int, ...]]:
        assert answers.wait(20)
        return many(name, **params) if name == "all_clients" else []

    with followed(tmp_path / "routes" / "one.json", ask, one_of_many) as follower:
        wait_for(lambda: follower.is_reachable)
        answers.clear()
        wait_for(lambda: follower.is_reachable is False)
        answers.set()
        wait_for(lambda: follower.is_reachable)


def test_keys_that_are_made_up_without_end_hold_up_no_routes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    follower = Follower(tmp_path / "routes.json")
    asked: list[str] = []

    def answer(digest: str, _answer: Future[bool | None]) -> None:
        asked.append(digest)
        follower._look_ups.put((f"{len(asked)}", Future()))  # The next one is there before this one is answered.

    monkeypatch.setattr(follower, "_answer", answer)
    answer("first", Future())

    follower._serve_waiting()

    assert len(asked) > 1 and not follower._look_ups.empty()
