"""The data plane as an ASGI app: opens the door with a client's key, and hands the request on. It knows no database."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import math
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Protocol

import orjson

from agency.gateway import listing, wire
from agency.gateway.allowances import Allowances
from agency.gateway.asks import Ask, native_ask
from agency.gateway.limits import Limits
from agency.gateway.meter import prometheus
from agency.gateway.meter.flusher import Meter
from agency.gateway.openai.requests import openai_ask
from agency.gateway.proxy import Proxy
from agency.gateway.routes.snapshot import ClientRoutes, Order, RouteEntry, Routes
from agency.gateway.upstream import Upstream
from agency.gateway.wire import Path, Receive, Refused, Scope, Send, Wire

log = logging.getLogger(__name__)

App = Callable[[Scope, Receive, Send], Awaitable[None]]
METRICS_PATH, HEALTH_PATH, READY_PATH = "/metrics", "/healthz", "/healthz/routes"
CONVERSATION_HEADER = b"x-conversation-id"
KEY_CHARS = 200
GUARD_S = 1.0
# Whoever comes to a door of its own brings no body, and may be anybody.
DOOR_BYTES, DOOR_S = 1024, 10.0
# While the meter's thread computes, each socket call of the event loop waits one switch interval to get on. The usual
# 5 ms cost more than half of the requests per second at 32 callers (409 against 948, p99 392 ms against 142).
SWITCH_S = 0.0005


class RouteSource(Protocol):
    """Where the routes come from. `start` may be called again: it starts anew what a fault has ended."""

    current: Routes

    @property
    def is_reachable(self) -> bool | None: ...

    def start(self) -> None: ...

    def stop(self) -> None: ...

    async def client_of(self, digest: str) -> ClientRoutes | None: ...

    def standing_orders(self) -> list[Order]: ...


Door = Callable[[Scope, Send], Awaitable[None]]


class Plane:
    """One process's data plane. `doors` are paths with a key of their own, beside those of clients."""

    def __init__(self, follower: RouteSource, meter: Meter, upstream: Upstream, limits: Limits) -> None:
        self.follower, self.meter, self.upstream, self.limits = follower, meter, upstream, limits
        self.allowances = Allowances()
        self.proxy = Proxy(self.upstream, self.meter)
        self.doors: dict[str, Door] = {METRICS_PATH: self._metrics}
        self._is_started = False
        self._starting = asyncio.Lock()
        self._guard: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            await self.start()  # Servers without lifespan: the first request starts it.
            await self._http(scope, receive, send)

    async def start(self) -> None:
        if self._is_started:
            return
        async with self._starting:
            if self._is_started:
                return
            sys.setswitchinterval(SWITCH_S)
            self.upstream.start()
            self.follower.start()
            self.meter.start()
            await self.began()
            self._guard = asyncio.create_task(self._keep_threads())
            self._is_started = True

    async def stop(self) -> None:
        """Last the meter: what the ending requests leave behind is still written."""
        if not self._is_started:
            return
        if self._guard is not None:
            self._guard.cancel()
        await self.ending()
        await self.upstream.stop()
        await asyncio.to_thread(self.follower.stop)
        await asyncio.to_thread(self.meter.stop)
        self._is_started = False

    async def began(self) -> None:
        """For what else a process opens."""

    async def ending(self) -> None:
        """For what `began` opened."""

    async def _keep_threads(self) -> None:
        """A fault that nobody foresaw ends a thread, its trace is in the log; without it the gateway would be blind."""
        while True:
            await asyncio.sleep(GUARD_S)
            self.follower.start()
            self.meter.start()

    def status(self) -> dict[str, Any]:
        """What an operator asks first: are the routes fresh, is the meter behind, who waits."""
        clients = self.follower.current.clients.values()
        return {
            "database": self.follower.is_reachable,
            "serial": max((client.serial for client in clients), default=0),
            "clients": len(clients),
            "orders": [[o.client, o.pipeline, o.to_version] for o in self.follower.standing_orders()],
            "running": sum(pool.running for pool in self.upstream.pools.values()),
            "waiting": sum(pool.waiting for pool in self.upstream.pools.values()),
            "meter": {"pending": self.meter.pending, "written": self.meter.written, "dropped": self.meter.dropped},
        }

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await self.start()
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                await self.stop()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller = Caller(receive, send)
        speaks = wire.wire_of(scope["path"])
        try:
            if scope["path"] in self.doors:
                await wire.read_body(scope, receive, DOOR_BYTES, DOOR_S)
                with caller.watched():
                    await self.doors[scope["path"]](scope, caller.send)
                return
            path = wire.find_path(scope["path"], scope["method"])
            client, digest = await self._enter(scope)
            if path in wire.LISTS:
                await wire.send_bytes(caller.send, 200, orjson.dumps(listing.listing(path, client)))
                return
            _refuse_barred(client)
            meters = self.allowances.admit(digest, client.allowances.get(digest))
            ask = await self._read(path, scope, receive)
            if meters is not None:
                ask = replace(ask, spend=meters.spend)
            with caller.watched():
                await self.proxy.answer(ask, lambda: self._find(client.client_id, ask.model), caller.send)
        except Refused as refused:
            await wire.send_refusal(caller.send, speaks, refused)
        except ConnectionError as error:
            log.debug("An exchange ended early: %s.", error)
        except asyncio.CancelledError:
            if not caller.has_left:
                raise
            _forget_cancel()

    async def _enter(self, scope: Scope) -> tuple[ClientRoutes, str]:
        """The client whose key this is, and the key's digest; 401 for everybody else, whatever they ask."""
        key = wire.bearer(scope)
        if 0 < len(key) <= KEY_CHARS:
            digest = hashlib.sha256(key.encode()).hexdigest()
            client = await self.follower.client_of(digest)
            if client is not None:
                return client, digest
        raise Refused(401, "a valid API key is required", [(b"www-authenticate", b"Bearer")])

    async def _metrics(self, scope: Scope, send: Send) -> None:
        token = self.limits.prometheus_token
        if not token:
            raise Refused(404, "404 page not found")
        if not hmac.compare_digest(wire.bearer(scope).encode(), token.encode()):
            raise Refused(401, "the token of this page is required", [(b"www-authenticate", b"Bearer")])
        clients = self.follower.current.clients
        body = prometheus.page(self.meter.totals, lambda pk: clients[pk].slug if pk in clients else "", self._gauges())
        await wire.send_start(send, 200, prometheus.CONTENT_TYPE, [(b"content-length", str(len(body)).encode())])
        await wire.send_body(send, body, is_last=True)

    def _gauges(self) -> dict[str, float]:
        status = self.status()
        gauges = {"database_up": float(bool(status["database"])), "standing_orders": float(len(status["orders"]))}
        gauges |= {f"meter_{name}_records": float(count) for name, count in status["meter"].items()}
        return gauges | {name: float(status[name]) for name in ("serial", "clients", "running", "waiting")}

    async def _read(self, path: Path, scope: Scope, receive: Receive) -> Ask:
        body = await wire.read_body(scope, receive, self.limits.body_bytes, self.limits.total_s)
        make = openai_ask if wire.wire_of(path) is Wire.OPENAI else native_ask
        return make(path, wire.parse_body(body), wire.header(scope, CONVERSATION_HEADER))

    def _find(self, client_id: int, model: str) -> RouteEntry:
        """The route as it is at this moment."""
        client = self.follower.current.clients.get(client_id)
        entry = client.find(model) if client is not None else None
        if entry is None:
            raise Refused(404, f"model '{model}' not found")
        return entry


class Caller:
    """The caller's connection: notices that it was left, and then cancels the request with everything upstream."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive, self._send = receive, send
        self.has_left = False
        self.is_answered = False

    async def send(self, message: wire.Message) -> None:
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            # From here on a disconnect is the ordinary end of the exchange.
            self.is_answered = True
        await self._send(message)

    @contextmanager
    def watched(self) -> Iterator[None]:
        task = asyncio.current_task()
        watcher = asyncio.ensure_future(self._receive())

        def left(done: asyncio.Future[Any]) -> None:
            if task is not None and not done.cancelled() and not self.is_answered:
                self.has_left = True
                task.cancel()

        watcher.add_done_callback(left)
        try:
            yield
        finally:
            watcher.remove_done_callback(left)
            watcher.cancel()


def _forget_cancel() -> None:
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()


def _refuse_barred(client: ClientRoutes) -> None:
    """What the month's tokens are used up for is refused until the next; a list of models costs none."""
    wait_s = math.ceil(client.barred_until - time.time())
    if client.barred and wait_s > 0:
        raise Refused(429, f"{client.barred} Try again in {wait_s} s.", [(b"retry-after", str(wait_s).encode())])


def is_data_plane(scope: Scope) -> bool:
    return scope["type"] == "http" and (
        scope["path"].startswith(wire.PREFIXES) or scope["path"] in (METRICS_PATH, READY_PATH)
    )


def beside(gateway: Plane, rest: App) -> App:
    """The gateway in front of another app: data plane and lifespan are the gateway's, everything else is `rest`'s."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        mine = scope["type"] == "lifespan" or is_data_plane(scope)
        await (gateway if mine else rest)(scope, receive, send)

    return application


async def nothing_else(scope: Scope, receive: Receive, send: Send) -> None:
    """What a gateway alone answers outside its paths: that it lives, and else nothing."""
    if scope["path"] == HEALTH_PATH and scope["method"] in ("GET", "HEAD"):
        await wire.send_ok(send)
        return
    await wire.send_refusal(send, Wire.NATIVE, Refused(404, "404 page not found"))
