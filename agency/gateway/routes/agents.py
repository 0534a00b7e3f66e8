"""What an agent beside a host is told: its own part of the routes as soon as it changes, and that it is called."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple
from urllib.parse import parse_qs

import orjson

from agency.gateway import wire
from agency.gateway.routes import store
from agency.gateway.routes.follower import Follower
from agency.gateway.routes.snapshot import ClientRoutes, RouteEntry, Routes, Target
from agency.gateway.wire import Refused, Scope, Send

AGENT_PATH = "/v1/agent/wait"
# Long enough to cost next to nothing, short enough that a gateway which is asked to end need not wait for it.
WAIT_S, LOOK_S = 10.0, 0.05
ORJSON = orjson.OPT_NON_STR_KEYS | orjson.OPT_SORT_KEYS


class Told(NamedTuple):
    """What an agent is to have: `client` as routes/store.py writes it, and its digest."""

    digest: str
    client: bytes


class Asked(NamedTuple):
    """What an agent brings: its token's digest, the digest and the serial of its routes, and its last call."""

    token: str
    have: str
    serial: int
    called: int

    @classmethod
    def of(cls, scope: Scope) -> Asked:
        said = parse_qs(scope["query_string"].decode("latin-1"))
        token = hashlib.sha256(wire.bearer(scope).encode()).hexdigest()
        serial, called = (_number(said.get(name, ["0"])[0]) for name in ("serial", "called"))
        return cls(token, said.get("have", [""])[0], serial, called)


class AgentDoor:
    """Guarantees: whoever waits is answered as soon as the routes here differ from those it has, and are not older.

    Older ones are those of a gateway that cannot follow, or of a database that was restored. They are told at the end
    of the wait, while the database answers here: then they are no leftover. So with a last call that is an earlier one.
    """

    def __init__(self, follower: Follower, wait_s: float = WAIT_S) -> None:
        self.follower, self.wait_s = follower, wait_s
        self.news = News(follower)

    async def answer(self, scope: Scope, send: Send) -> None:
        """GET ?have=<digest>&serial=<of these routes>&called=<last call>. `client` is null where there is no news.

        `digest` is that of the routes here, `called` the last call that waits to be taken, 0 for none. Agents of before
        send no serial: whatever differs is news to them.
        """
        if scope["method"] != "GET":
            raise Refused(405, "405 method not allowed", [(b"allow", b"GET")])
        told, last = await self._news(Asked.of(scope))
        body = b'{"digest":"%b","called":%d,"client":%b}' % (told.digest.encode(), last, told.client)
        await wire.send_bytes(send, 200, body)

    async def _news(self, asked: Asked) -> tuple[Told, int]:
        """Waits for something that it does not have, and at most `wait_s`."""
        ends_at = asyncio.get_running_loop().time() + self.wait_s
        before, told = None, Told("", b"")
        while True:
            found = await self.follower.agent_of(asked.token)
            if found is None:
                raise Refused(401, "this token opens nothing: it was revoked, or it is another one")
            client, seat = found
            if client is not before:
                before, told = client, told_of(client, seat.host)
            last = self.follower.called.get(seat.agent_id, 0) if self.follower.is_reachable else asked.called
            is_through = asyncio.get_running_loop().time() >= ends_at
            is_late = client.serial < asked.serial and not (is_through and self.follower.is_reachable)
            is_news = told.digest != asked.have and not is_late
            if is_news or last > asked.called or is_through:
                return (told if is_news else told._replace(client=b"null")), last
            await self.news.come(ends_at)


class News:
    """One task looks for everybody: thousands that wait cost a wake-up each only when something changed."""

    def __init__(self, follower: Follower) -> None:
        self.follower = follower
        self._waiting: set[asyncio.Future[None]] = set()
        self._seen: tuple[Routes, Mapping[int, int]] = (follower.current, follower.called)
        self._looking: asyncio.Task[None] | None = None

    async def come(self, ends_at: float) -> None:
        """Until something changed, for whomever, and at most until `ends_at` of the loop's clock."""
        loop = asyncio.get_running_loop()
        mine: asyncio.Future[None] = loop.create_future()
        self._waiting.add(mine)
        if self._looking is None or self._looking.done():
            self._looking = loop.create_task(self._look())
        await asyncio.wait((mine,), timeout=max(ends_at - loop.time(), 0.0))
        self._waiting.discard(mine)

    async def _look(self) -> None:
        while self._waiting:
            await asyncio.sleep(LOOK_S)
            now = (self.follower.current, self.follower.called)
            if now[0] is not self._seen[0] or now[1] != self._seen[1]:
                self._seen = now
                for one in self._waiting:
                    if not one.done():
                        one.set_result(None)


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0


def told_of(client: ClientRoutes, host: str) -> Told:
    body = orjson.dumps(part_of(client, host), option=ORJSON)
    return Told(hashlib.sha256(body).hexdigest(), body)


def part_of(client: ClientRoutes, host: str) -> dict[str, Any]:
    """What the gateway beside this host needs: pipelines with a version there, and of places only those there."""
    here = {slug: _entry(entry, host) for slug, entry in client.pipelines.items()}
    lying = {slug: entry for slug, entry in here.items() if any(t.places for t in entry.targets.values())}
    return store.document(replace(client, pipelines=lying, agents={}))


def _entry(entry: RouteEntry, host: str) -> RouteEntry:
    return replace(entry, targets={number: _target(target, host) for number, target in entry.targets.items()})


def _target(target: Target, host: str) -> Target:
    places = tuple(replace(p, sealed="", sealed_for="", url="") for p in target.places if p.host == host)
    return replace(target, places=places)
