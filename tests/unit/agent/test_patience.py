"""An agent that runs on: while headquarters is away or hidden behind a page of something else, and after it is back."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import httpx2
import pytest

from agency.agent import hands, serving, spool
from agency.agent.mirror import Mirror
from agency.agent.serving import Agent, Terms
from agency.agent.spool import Spool
from agency.gateway.plane import beside, nothing_else
from agency.gateway.routes import store
from agency.gateway.routes.snapshot import ClientRoutes, Place, RouteEntry, Routes, Target
from pipelines.worker.link import Answer, Link
from tests.flow.gateway.double import asgi_server
from tests.unit.agent.test_parts import record
from tests.unit.outbound.answering import says, server

PAGE = Answer(200, b"<html>We are back soon.</html>", {"Content-Type": "text/html"})
HELLO = {"host": "shop", "client": "acorn", "program": None}
CALL = {
    "call": 7, "method": "POST", "path": "/api/pull", "body": "", "digest": "", "size_bytes": 0, "url": "",
    "within_s": 9.0,
}  # fmt: skip


@dataclass
class Hidden(Link):
    """Headquarters behind a page, until it is uncovered; notes what reaches it by the last part of its address."""

    page: Answer = PAGE
    is_hidden: bool = True
    calls: list[dict[str, Any]] = field(default_factory=lambda: [CALL])
    hidden: list[str] = field(default_factory=list)
    heard: list[str] = field(default_factory=list)

    def once(
        self, method: str, url: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        asked = url.partition("?")[0].rpartition("/")[2]
        if self.is_hidden:
            self.hidden.append(asked)
            return self.page
        self.heard.append(asked)
        match asked:
            case "calls":
                return said(self.calls.pop()) if self.calls else Answer(204, b"", {})
            case "hello":
                return said(HELLO)
            case "records":
                return said({"taken": 1, "refused": 0})
            case _:
                return said({"go_on": True})


def said(document: Any) -> Answer:
    return Answer(200, json.dumps(document).encode(), {})


def until(is_so: Callable[[], bool], within_s: float = 20.0) -> None:
    ends_at = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < ends_at
        time.sleep(0.02)


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("agent-hand-")]


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Agent]:
    for module in (hands, spool):
        monkeypatch.setattr(module, "AGAIN_S", 0.05)
    monkeypatch.setattr(spool, "SEND_S", 0.05)
    monkeypatch.setattr(serving, "HELLO_S", 0.05)
    made = Agent(Terms("https://x", "https://x", "http://127.0.0.1:9", "127.0.0.1", 0, tmp_path), "ra_x", 0.05)
    made.link = made.hands.link = made.spool.link = Hidden("https://x", "ra_x", pause_s=0.05, room="agent")
    yield made
    made.ending.set()
    while threads():
        made.hands.call()
        time.sleep(0.02)


@pytest.mark.parametrize("page", [PAGE, said([]), said({})], ids=["a page", "a list", "an empty object"])
def test_whatever_stands_in_headquarters_place_ends_no_thread(
    agent: Agent, page: Answer, caplog: pytest.LogCaptureFixture
) -> None:
    link = agent.link
    assert isinstance(link, Hidden)
    link.page = page
    agent.begin()
    agent.spool.write(1, [record(1)])
    until(lambda: all(link.hidden.count(asked) > 3 for asked in ("calls", "records", "hello")))
    assert (agent.spool.waiting, link.heard) == (1, [])

    link.is_hidden = False
    until(lambda: {"answer", "records", "hello"} <= set(link.heard))
    until(lambda: agent.spool.waiting == 0)
    greeted = link.heard.count("hello")
    until(lambda: link.heard.count("hello") > greeted + 2)
    assert len(threads()) == hands.HANDS
    assert caplog.records


def test_records_of_an_outage_are_told_with_the_time_of_the_attempt_that_arrives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [datetime(2026, 11, 20, 9, tzinfo=UTC)]
    tried: list[bytes] = []

    class Away(Link):
        def once(self, method: str, url: str, body: bytes | None = None, headers: Any = None) -> Answer:
            tried.append(body or b"")
            if len(tried) < 3:
                clock[0] += timedelta(days=1)
                raise OSError("no route to host")
            return said({"taken": 1, "refused": 0})

    monkeypatch.setattr(spool, "now", lambda: clock[0])
    kept = Spool(Away("https://x", "ra_x", pause_s=0.01, room="agent"), tmp_path)
    kept.open()
    kept.write(1, [record(1)])
    kept.send()

    sent = [json.loads(body) for body in tried]
    assert [one["sent_at"] for one in sent] == [f"2026-11-{day}T09:00:00+00:00" for day in (20, 21, 22)]
    assert len(sent[2]["records"]) == 1 and sent[2]["records"] == sent[0]["records"]


def test_a_greeting_says_what_is_true_when_it_arrives(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0]

    class Away(Hidden):
        def once(self, method: str, url: str, body: bytes | None = None, headers: Any = None) -> Answer:
            self.heard.append(json.loads(body or b"")["at"])
            clock[0] += 1
            if clock[0] < 3:
                raise OSError("no route to host")
            return said(HELLO)

    monkeypatch.setattr(agent, "said", lambda: {"at": clock[0]})
    link = Away("https://x", "ra_x", pause_s=0.01, room="agent")
    link.post("hello", agent.said, lambda: False)
    assert link.heard == [0, 1, 2]


def test_it_is_called_by_any_number_that_it_was_not_told_last(tmp_path: Path) -> None:
    told, asked = iter((7, 7, 0, 7, 0, 3, 4)), []
    calls: list[int] = []

    class Gateway(Link):
        def once(self, method: str, url: str, body: bytes | None = None, headers: Any = None) -> Answer:
            asked.append(url.rpartition("=")[2])
            number = next(told, None)
            if number is None:
                mirror.stop()
                raise OSError("gone")
            return said({"digest": "d", "called": number, "client": None})

    link = Gateway("https://x", "ra_x", pause_s=0.01, room="agent")
    mirror = Mirror(link, tmp_path / "routes.json", "http://x", lambda: calls.append(len(asked)), lambda: None)
    mirror.start()
    until(mirror._stopping.is_set)
    assert asked == ["0", "7", "7", "0", "7", "0", "3", "4"]
    assert calls == [1, 4, 6, 7]


def test_an_upload_that_was_given_up_goes_while_the_agent_runs(agent: Agent) -> None:
    link, folder = agent.link, agent.terms.folder / "files"
    assert isinstance(link, Hidden)
    agent.begin()
    old, young = folder / ("a" * 64), folder / ("b" * 64)
    for place in (young, old):
        place.write_bytes(b"x")
    os.utime(old, (time.time() - 4 * 24 * 3600,) * 2)
    link.is_hidden = False
    until(lambda: not old.exists())
    assert young.exists()


@pytest.mark.parametrize(("body", "is_left"), [(b'{"error": "no space left on device"}', False), (b"{}", True)])
def test_where_the_host_has_no_space_other_files_on_their_way_go(agent: Agent, body: bytes, is_left: bool) -> None:
    def full(handler: BaseHTTPRequestHandler) -> None:
        handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        says(body, 500)(handler)

    files, digest = agent.hands.files, hashlib.sha256(b"a model").hexdigest()
    files.open()
    other, mine = files.folder / ("a" * 64), files.folder / digest
    other.write_bytes(b"x")
    mine.write_bytes(b"a model")
    told = CALL | {"path": f"/api/blobs/sha256:{digest}", "digest": digest, "size_bytes": 7}
    assert isinstance(agent.link, Hidden)
    agent.link.is_hidden = False
    with server(full) as port:
        agent.hands.ollama = f"http://127.0.0.1:{port}"
        agent.hands.make(told)
    assert (agent.link.heard[-1], other.exists(), mine.exists()) == ("answer", is_left, True)


def test_the_gateway_beside_a_host_keeps_the_limits_of_its_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETUNE_GATEWAY_READ_S", "1")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        ollama = f"http://127.0.0.1:{silent.getsockname()[1]}"
        agent = Agent(Terms("https://x", "https://x", ollama, "127.0.0.1", 0, tmp_path), "ra_x", 0.05)
        lying = Target(10, 1, "d" * 64, 5, "2026-03-03T04:00:00+00:00", (Place("shop", "", "m:v1"),))
        entry = RouteEntry(1, 1, 1, "support", 7, 1, None, 0, None, {}, {1: lying})
        keys = frozenset({hashlib.sha256(b"rk_x").hexdigest()})
        store.save(
            tmp_path / "routes" / "agent.json", Routes.of({1: ClientRoutes(1, "acorn", keys, {"support": entry})}), {}
        )
        with asgi_server(beside(agent.plane, nothing_else)) as url:
            began = time.monotonic()
            asked = {"model": "support", "prompt": "?"}
            answer = httpx2.post(
                url + "/api/generate", json=asked, headers={"Authorization": "Bearer rk_x"}, timeout=30
            )
    assert answer.status_code == 504 and time.monotonic() - began < 8
