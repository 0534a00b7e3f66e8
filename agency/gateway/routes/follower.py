"""Follows the routes in the database from a thread of its own; without the database the last ones stand."""

from __future__ import annotations

import asyncio
import logging
import math
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Set
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from django.db import Error as DatabaseFault
from django.db import close_old_connections, connections

from agency.gateway.routes import store
from agency.gateway.routes.journal import Journal, Noted
from agency.gateway.routes.listener import Listener
from agency.gateway.routes.loading import load_client
from agency.gateway.routes.snapshot import ClientRoutes, Order, RouteEntry, Routes, Seat
from agency.gateway.wire import Refused
from tenants.crossing import ask

log = logging.getLogger(__name__)

POLL_S = 0.25
# While PostgreSQL tells of new routes, looks are there for what it did not tell.
TOLD_POLL_S = 0.75
# Hosts, keys and settings carry no serial: all clients are read again in turn, everyone after about so many seconds.
SWEEP_S = 10.0
# Serials rise in commit order, but one may be given again after a client was erased: look a little behind the newest.
SERIAL_OVERLAP = 50
LOOK_UP_S = 3.0
BETWEEN_S = 0.02  # For look-ups between two loads.
LOOK_UPS_WAITING = 1000
# A look, or one client's load, takes less: a database that is silent for so long has vanished.
SILENT_S = 5.0
UNKNOWN_S = 2.0
UNKNOWN_KEPT = 10_000

Found = TypeVar("Found")
# Whether a digest opens anything; None where nobody could tell.
LookUp = tuple[str, "Future[bool | None]"]


class OrderRefused(ValueError):
    """A flip that cannot be carried out: the sentence says why."""


class Follower:
    """Guarantees: `current` is always a whole picture, at most one look plus one load behind a committed route."""

    def __init__(self, file: Path, poll_s: float = POLL_S) -> None:
        self.file, self.poll_s = file, poll_s
        self.journal = Journal(file.parent.parent / "orders" / file.stem)
        self.is_ready = False
        self._is_answering: bool | None = None
        self._heard_at = 0.0
        self._loaded: dict[int, ClientRoutes] = {}
        self._orders: dict[tuple[str, str], Order] = {}
        # Serials that could not be read, of clients whose last picture stands.
        self._unreadable: dict[int, int] = {}
        self._sweep: list[int] = []
        self._clients = 0
        self._is_dirty = False
        self._unknown: dict[str, float] = {}
        self.called: Mapping[int, int] = {}
        self._lock = threading.RLock()
        self._look_ups: queue.Queue[LookUp | None] = queue.Queue(LOOK_UPS_WAITING)
        self._stopping = threading.Event()
        self._is_told = threading.Event()
        self.listener = Listener(self._told)
        self._thread: threading.Thread | None = None
        self.current = Routes()

    # -- from the event loop --

    @property
    def is_reachable(self) -> bool | None:
        """Whether the database answers; None before it was first asked. `is_ready`: there are routes to go by."""
        is_silent = time.monotonic() - self._heard_at > self._pause_s() + SILENT_S
        return False if self._is_answering and is_silent else self._is_answering

    def start(self) -> None:
        """Serves the routes of the file and starts the thread; called again, starts it anew if a fault ended it."""
        if self._thread is None:
            routes, self._orders = store.load(self.file)
            self._loaded = dict(routes.clients)
            self.is_ready = bool(self._loaded)
            self._publish()
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="gateway-routes", daemon=True)
            self._thread.start()
        self.listener.start()

    def stop(self) -> None:
        """Ends the threads. Blocks for as long as one poll may take."""
        self._stopping.set()
        self.listener.stop()
        self._poke()
        if self._thread is not None:
            self._thread.join(timeout=10)

    async def client_of(self, digest: str) -> ClientRoutes | None:
        """The client of a key's digest. A key not seen before is looked up once, off the event loop.

        Raises `Refused` 503 where that cannot be done: a valid key must not be called invalid.
        """
        return await self._known(digest, lambda: self.current.client_of(digest))

    async def agent_of(self, digest: str) -> tuple[ClientRoutes, Seat] | None:
        """The agent of a token's digest, likewise."""
        return await self._known(digest, lambda: self.current.agent_of(digest))

    async def _known(self, digest: str, find: Callable[[], Found | None]) -> Found | None:
        found = find()
        if found is not None or self._unknown.get(digest, 0.0) > time.monotonic():
            return found
        is_known = None if self.is_reachable is False else await self._asked(digest)
        if is_known is None:
            raise Refused(503, "this key cannot be looked up right now, please try again", [(b"retry-after", b"1")])
        if not is_known:
            self._remember_unknown(digest)
        return find()

    async def _asked(self, digest: str) -> bool | None:
        """Of the thread."""
        answer: Future[bool | None] = Future()
        try:
            self._look_ups.put_nowait((digest, answer))
            return await asyncio.wait_for(asyncio.wrap_future(answer), LOOK_UP_S)
        except (queue.Full, TimeoutError):
            return None

    def order(self, client: str, pipeline: str, to_version: int | None, by: str = "", reason: str = "") -> RouteEntry:
        """Flips at once, without the database, and is recorded in the ledger as soon as there is one.

        `to_version` None is the way back, once. Stands until a newer serial is seen. Raises `OrderRefused`.
        """
        with self._lock:
            entry = self.current.entry(client, pipeline)
            if entry is None:
                raise OrderRefused(f"There is no route of {client}/{pipeline} here.")
            to_version = self._way_back(entry, client) if to_version is None else to_version
            if not entry.lies(to_version):
                raise OrderRefused(f"v{to_version} of {client}/{pipeline} lies on no host that this gateway knows.")
            self._orders[client, pipeline] = Order(client, pipeline, to_version, entry.serial, entry.rollout_id)
            self._is_dirty = True
            self._publish()
        self.journal.note(Noted.of(entry, to_version, by, reason))
        self._poke()
        return entry.flipped(to_version)

    def _way_back(self, entry: RouteEntry, client: str) -> int:
        """Not from where another order went: the same one sent twice would go back twice."""
        name, standing = f"{client}/{entry.slug}", self._orders.get((client, entry.slug))
        if standing is not None:
            words = f"An order sent {name} to v{standing.to_version} already, and the database has not followed yet"
            raise OrderRefused(f"{words}: name the version that shall answer.")
        if entry.way_back is None:
            raise OrderRefused(f"{name} has no earlier version: name the one that shall answer.")
        return entry.way_back

    def standing_orders(self) -> list[Order]:
        with self._lock:
            return list(self._orders.values())

    # -- in the thread --

    def _run(self) -> None:
        due_at = time.monotonic()
        while not self._stopping.is_set():
            is_told = self._is_told.is_set()
            if is_told or time.monotonic() >= due_at:
                self._is_told.clear()
                with self._database():
                    self.listener.looked(is_told, self._poll(is_told))
                self._save()
                due_at = time.monotonic() + self._pause_s()
            self._serve_look_up(0.0 if self._is_told.is_set() else due_at - time.monotonic())
        connections.close_all()

    @contextmanager
    def _database(self) -> Iterator[None]:
        """A fault of the database leaves the routes as they are, and is told once."""
        try:
            close_old_connections()
            yield
        except DatabaseFault as error:
            connections.close_all()
            if self._is_answering is not False:
                log.warning("The database is away, the last routes stand: %s", type(error).__name__)
            self._is_answering = False
        else:
            if self._is_answering is False:
                log.info("The database is back.")
            self._is_answering, self._heard_at = True, time.monotonic()

    def _pause_s(self) -> float:
        return max(self.poll_s, TOLD_POLL_S) if self.listener.is_hearing else self.poll_s

    def _poll(self, is_told: bool) -> bool:
        """One look; gives whether there were new routes. What changed without a route is read by the clock alone.

        Orders are settled first: what a machine did to a route meanwhile does not undo them.
        """
        try:
            self.journal.settle()
        finally:
            has_news = self._look(is_told)
        self._end_settled()
        self.is_ready = True
        return has_news

    def _end_settled(self) -> None:
        """An order that a later decision beats ends when it is settled, whether or not a route was read since."""
        with self._lock:
            if before := dict(self._orders):
                self._publish()
                self._is_dirty |= self._orders != before

    def _look(self, is_told: bool) -> bool:
        newest, fresh = max((client.serial for client in self._loaded.values()), default=0), set[int]()
        for client_id, serial in ask("routes_since", serial=max(0, newest - SERIAL_OVERLAP)):
            known = self._loaded.get(client_id)
            if self._unreadable.get(client_id) != serial and (known is None or known.serial != serial):
                self._reload(client_id)
                self._serve_waiting()
                fresh.add(client_id)
                if client_id in self._unreadable:
                    self._unreadable[client_id] = serial
        self.called = {agent_id: last for agent_id, last in ask("agents_called")}
        if not is_told:
            self._sweep_some(fresh)
        return bool(fresh)

    def _sweep_some(self, fresh: Set[int]) -> None:
        """`fresh` were read just now."""
        if not self._sweep:
            every = {row[1] for row in ask("all_clients")}
            self._sweep, self._clients = list(every - fresh), len(every)
            for gone in self._loaded.keys() - every:
                self._replace(gone, None)
        share = self._pause_s() / SWEEP_S
        for _ in range(max(1, math.ceil(self._clients * share)) if self._is_answering else len(self._sweep)):
            if self._sweep:
                self._reload(self._sweep.pop())
                self._serve_waiting()

    def _reload(self, client_id: int) -> ClientRoutes | None:
        """A client whose routes cannot be read keeps its last ones; everybody else's are followed all the same."""
        try:
            client = load_client(client_id)
        except DatabaseFault:
            raise
        except Exception:
            if client_id not in self._unreadable:
                log.exception("The routes of client %d cannot be read, its last ones stand.", client_id)
                self._unreadable[client_id] = 0
            return self._loaded.get(client_id)
        self._heard_at = time.monotonic()
        if self._unreadable.pop(client_id, None) is not None:
            log.info("The routes of client %d can be read again.", client_id)
        if client != self._loaded.get(client_id):
            self._replace(client_id, client)
        return client

    def _replace(self, client_id: int, client: ClientRoutes | None) -> None:
        with self._lock:
            if client is None:
                self._loaded.pop(client_id, None)
            else:
                self._loaded[client_id] = client
            self._is_dirty = True
            self._publish()

    def _publish(self) -> None:
        base, standing = Routes.of(self._loaded.copy()), {}
        for name, order in list(self._orders.items()):
            entry = base.entry(*name)
            if entry is None or entry.serial <= order.serial:
                if entry is None or entry.lies(order.to_version) or self.journal.pending():
                    standing[name] = order
                    continue
                # The database did not follow it, and retention has taken the version off its hosts since.
                log.warning("The order of v%d for %s/%s is over: it lies on no host.", order.to_version, *name)
                del self._orders[name]
            elif order.is_over(entry) or not self.journal.pending():
                del self._orders[name]
            else:
                standing[name] = replace(order, serial=entry.serial)
        self.current = base.with_orders(standing)

    def _save(self) -> None:
        with self._lock:
            if not self._is_dirty:
                return
            self._is_dirty = False
            routes, orders = Routes.of(self._loaded.copy()), dict(self._orders)
        try:
            store.save(self.file, routes, orders)
        except OSError as error:
            log.warning("The routes could not be written to %s: %s", self.file, error.strerror)

    # -- look-ups of new keys --

    def _serve_look_up(self, wait_s: float) -> None:
        try:
            asked = self._look_ups.get(timeout=max(0.001, wait_s))
        except queue.Empty:
            return
        if asked is None:
            self._save()
        else:
            self._answer(*asked)

    def _serve_waiting(self) -> None:
        """Between two loads of many: nobody waits for the last one. Not for long: keys that are made up never end."""
        until = time.monotonic() + BETWEEN_S
        with suppress(queue.Empty):
            while time.monotonic() < until:
                if (asked := self._look_ups.get_nowait()) is not None:
                    self._answer(*asked)

    def _answer(self, digest: str, answer: Future[bool | None]) -> None:
        if not answer.set_running_or_notify_cancel():
            return  # Nobody waits any more.
        is_known: bool | None = None
        with self._database():
            is_known = self._look_up(digest)
        answer.set_result(is_known)

    def _look_up(self, digest: str) -> bool | None:
        for client_id, _ in [*ask("key_by_digest", digest=digest), *ask("agent_by_digest", digest=digest)]:
            client = self._reload(client_id)
            if client is not None and (digest in client.keys or digest in client.agents):
                return True
            if client_id in self._unreadable:
                return None
        return False

    def _remember_unknown(self, digest: str) -> None:
        if len(self._unknown) >= UNKNOWN_KEPT:
            self._unknown.clear()
        self._unknown[digest] = time.monotonic() + UNKNOWN_S

    def _told(self) -> None:
        self._is_told.set()
        self._poke()

    def _poke(self) -> None:
        with suppress(queue.Full):  # Then the thread is busy and will come to it by itself.
            self._look_ups.put_nowait(None)
