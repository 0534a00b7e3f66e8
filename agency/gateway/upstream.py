"""One request to one host: its place in the queue, its connection, its first byte. What fails here can fall back."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import monotonic
from types import SimpleNamespace
from typing import Any

import aiohttp
import orjson

from agency.gateway.limits import Limits
from agency.gateway.meter.sighting import Fault
from agency.gateway.routes.snapshot import Place
from pipelines.outbound import Access
from pipelines.outbound.sockets import judged_sockets
from tenants.crypto.sealing import Unreadable, unseal

# A host that broke a connection is asked last for this long; one good answer forgives it.
SICK_S = 5.0
HEADERS = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
BUSY = "server busy, please try again.  maximum pending requests exceeded"
# What is the host's fault and not the caller's: 404 means that the version is gone from the host.
HOST_FAULTS = frozenset({404, 408, 429})
# The caller's key never gets this far: what is refused here is what we show the host, or our address.
SHUT_OUT = frozenset({401, 403, 407})


class Failed(Exception):
    """No usable answer, and no byte passed on. `status` and `message` reach the caller when nobody else can answer."""

    def __init__(self, fault: Fault, status: int, message: str) -> None:
        super().__init__(message)
        self.fault, self.status, self.message = fault, status, message


class Busy(Exception):
    """The queue of this model on this host is full, or waiting took too long: no fault of the version."""


@dataclass(frozen=True, slots=True)
class Entry:
    """How one host lets us in. `tls` is True for the usual verification."""

    headers: dict[str, str]
    tls: ssl.SSLContext | bool

    @classmethod
    def of(cls, access: Access) -> Entry:
        own = bool(access.certificate or access.authority)
        return cls(HEADERS | access.headers(), access.tls() if own else True)


@dataclass(slots=True)
class Pool:
    """Places at one model on one host, within those of the `host`. `load` orders hosts: healthy, least loaded, longest

    not asked.
    """

    limit: int
    queue: int
    slots: asyncio.Semaphore
    host: asyncio.Semaphore
    waiting: int = 0
    running: int = 0
    sick_until: float = 0.0
    asked_at: float = 0.0

    @property
    def load(self) -> tuple[bool, int, float]:
        return self.sick_until > monotonic(), self.running + self.waiting, self.asked_at

    @asynccontextmanager
    async def place(self, queue_s: float) -> AsyncIterator[bool]:
        """Waits for its turn. Gives whether it had to. Raises `Busy`."""
        has_waited = self.slots.locked() or self.host.locked()
        await self._enter(queue_s)
        self.running += 1
        self.asked_at = monotonic()
        try:
            yield has_waited
        finally:
            self.running -= 1
            self.host.release()
            self.slots.release()

    async def _enter(self, queue_s: float) -> None:
        if not (self.slots.locked() or self.host.locked()):
            await self._acquire()  # Without a pause: both are free.
            return
        if self.waiting >= self.queue:
            raise Busy(BUSY)
        self.waiting += 1
        try:
            async with asyncio.timeout(queue_s):
                await self._acquire()
        except TimeoutError:
            raise Busy(BUSY) from None
        finally:
            self.waiting -= 1

    async def _acquire(self) -> None:
        """Both or none. The model's place comes first, so that who waits for a busy model keeps none of the host's."""
        await self.slots.acquire()
        try:
            await self.host.acquire()
        except BaseException:
            self.slots.release()
            raise


@dataclass(slots=True)
class Answer:
    """An answer that has begun. `first` is its first chunk (of a stream) or all of it; `rest` gives what follows."""

    status: int
    content_type: bytes
    first: bytes
    response: aiohttp.ClientResponse
    is_whole: bool

    async def rest(self) -> AsyncIterator[bytes]:
        if not self.is_whole:
            async for chunk in self.response.content.iter_any():
                yield chunk


@dataclass(slots=True)
class Upstream:
    """All hosts. One session; one pool per (address, model name), and the places of each address."""

    limits: Limits
    allow_private: bool = False
    pools: dict[tuple[str, str], Pool] = field(default_factory=dict)
    hosts: dict[str, asyncio.Semaphore] = field(default_factory=dict)
    _session: aiohttp.ClientSession | None = None
    _fresh: aiohttp.ClientSession | None = None
    _entries: dict[tuple[str, str], Entry] = field(default_factory=dict)

    def start(self) -> None:
        # Those that a host closed lie in the pool beside each other: a second try there may find the next dead one.
        self._session = self._open(keepalive_timeout=self.limits.keep_connection_s)
        self._fresh = self._open(force_close=True)

    def _open(self, **terms: Any) -> aiohttp.ClientSession:
        limits = self.limits
        # No limit of its own: the pools bound the connections. No proxies from the environment.
        connector = aiohttp.TCPConnector(limit=0, socket_factory=judged_sockets(self.allow_private), **terms)
        timeout = aiohttp.ClientTimeout(total=limits.total_s, sock_connect=limits.connect_s, sock_read=limits.read_s)
        return aiohttp.ClientSession(
            connector=connector,
            timeout=timeout,
            trust_env=False,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("User-Agent", "Accept-Encoding"),
            trace_configs=[_reuse_trace()],
        )

    async def stop(self) -> None:
        for session in (self._session, self._fresh):
            if session is not None:
                await session.close()

    def pool(self, place: Place) -> Pool:
        name = (place.url, place.model_name)
        found = self.pools.get(name)
        if found is None:
            limit, total = self.limits.host_concurrency, self.limits.host_total
            host = self.hosts.setdefault(place.url, asyncio.Semaphore(total))
            found = self.pools[name] = Pool(limit, self.limits.host_queue, asyncio.Semaphore(limit), host)
        return found

    @asynccontextmanager
    async def ask(self, place: Place, path: str, payload: bytes, is_stream: bool) -> AsyncIterator[Answer]:
        """Sends the request and waits for the first byte (a stream) or for all of the answer. Raises `Failed`.

        Whatever is raised inside the block stays as it is: by then the answer is under way.
        """
        pool = self.pool(place)
        try:
            response = await self._post(place.url + path, payload, self._entry(place))
            answer = await self._begin(response, is_stream)
        except aiohttp.ClientConnectionError as error:
            pool.sick_until = monotonic() + SICK_S
            raise _broken(error) from None
        except (TimeoutError, aiohttp.ClientError, ValueError) as error:
            raise _broken(error) from None
        pool.sick_until = 0.0
        try:
            yield answer
        finally:
            # Leaving early must close the connection: the host goes on generating until it sees that.
            if not response.content.at_eof():
                response.close()
            response.release()

    def _entry(self, place: Place) -> Entry:
        """Opened once: what was sealed anew has another text."""
        found = self._entries.get((place.sealed_for, place.sealed))
        if found is None:
            try:
                found = Entry.of(Access.of(unseal(place.sealed_for, place.sealed) if place.sealed else None))
            except Unreadable:
                raise Failed(Fault.TRANSPORT, 502, "this host's secret cannot be read") from None
            self._entries[place.sealed_for, place.sealed] = found
        return found

    async def _post(self, url: str, payload: bytes, entry: Entry) -> aiohttp.ClientResponse:
        assert self._session is not None and self._fresh is not None, "Upstream.start() comes first"
        trace = SimpleNamespace(is_reused=False)
        terms: dict[str, Any] = {"data": payload, "headers": entry.headers, "allow_redirects": False, "ssl": entry.tls}
        terms["trace_request_ctx"] = trace
        try:
            return await self._session.post(url, **terms)
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
            # A kept connection that the host closed meanwhile says nothing about the model: once more, on a new one.
            if not trace.is_reused:
                raise
            return await self._fresh.post(url, **terms)

    async def _begin(self, response: aiohttp.ClientResponse, is_stream: bool) -> Answer:
        try:
            content_type = response.headers.get("Content-Type", "application/json").encode("latin-1")
            if response.status != 200:
                return await self._not_ok(response, content_type)
            if not is_stream:
                return Answer(200, content_type, await self._whole(response), response, is_whole=True)
            first = await response.content.readany()
            if not first:
                raise Failed(Fault.TRANSPORT, 502, "the host closed the connection without an answer")
            if first.startswith(b'{"error"'):
                raise Failed(Fault.ANSWER, 500, error_text(first))
            return Answer(200, content_type, first, response, is_whole=False)
        except BaseException:
            response.close()
            raise

    async def _not_ok(self, response: aiohttp.ClientResponse, content_type: bytes) -> Answer:
        body = await self._read(response)
        status = response.status
        if status in SHUT_OUT:
            raise Failed(Fault.TRANSPORT, 502, "the host does not let the gateway in")
        if status in HOST_FAULTS or status >= 500:
            raise Failed(Fault.ANSWER, 502 if status == 404 else status, error_text(body))
        if status < 400:
            raise Failed(Fault.ANSWER, 502, f"the host answered with status {status}")
        return Answer(status, content_type, body, response, is_whole=True)

    async def _whole(self, response: aiohttp.ClientResponse) -> bytes:
        """A whole answer; one without `done` has failed, as nothing of it has been passed on it can still fall back."""
        body = await self._read(response)
        document: Any = orjson.loads(body)
        if not isinstance(document, dict) or document.get("done") is not True:
            raise Failed(Fault.ANSWER, 502, "the host ended its answer before it was complete")
        return body

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        parts: list[bytes] = []
        size = 0
        async for chunk in response.content.iter_any():
            parts.append(chunk)
            size += len(chunk)
            if size > self.limits.answer_bytes:
                raise Failed(Fault.ANSWER, 502, f"the host's answer is larger than {self.limits.answer_bytes} bytes")
        return b"".join(parts)


def error_text(body: bytes) -> str:
    """The `error` of a host's answer, as a text of bounded length."""
    try:
        document = orjson.loads(body.split(b"\n", 1)[0])
        text = document["error"] if isinstance(document, dict) else ""
    except (orjson.JSONDecodeError, KeyError):
        text = ""
    return text[:2000] if isinstance(text, str) and text else "the host could not answer"


def _broken(error: Exception) -> Failed:
    """Sentences of ours: an exception's own text may name addresses that a caller need not know."""
    if isinstance(error, Failed):
        return error
    if isinstance(error, TimeoutError):
        return Failed(Fault.TRANSPORT, 504, "the host did not answer in time")
    if isinstance(error, ValueError):
        return Failed(Fault.ANSWER, 502, "the host's answer could not be read")
    return Failed(Fault.TRANSPORT, 502, "the connection to the host broke")


def _reuse_trace() -> aiohttp.TraceConfig:
    trace = aiohttp.TraceConfig()

    async def reused(session: aiohttp.ClientSession, context: SimpleNamespace, params: Any) -> None:
        context.trace_request_ctx.is_reused = True

    trace.on_connection_reuseconn.append(reused)
    return trace
