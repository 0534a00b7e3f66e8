"""The routes of headquarters, waited for and kept on disk: without headquarters the last ones stand."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlencode

import orjson

from agency.gateway.routes import store
from agency.gateway.routes.snapshot import ClientRoutes, Order, RouteEntry, Routes, Target
from pipelines.worker.link import Link, Refused, Stopped, Unknown

log = logging.getLogger("retune-agent")

WAIT_PATH = "/v1/agent/wait"
# Revoked, or not known yet: nothing is gained by asking often.
UNKNOWN_PAUSE_S = 15.0
# Gateways of one headquarters may differ for a while: one that lost its database, or took an order, or looks later.
BETWEEN_S = 1.0
# Older routes than ours are taken when they are told so often and nobody told ours meanwhile: a database was restored.
OLDER_TIMES = 3


class Mirror:
    """Guarantees: `current` is always a whole picture that headquarters told, the same before and after a restart."""

    def __init__(
        self, link: Link, file: Path, ollama: str, on_call: Callable[[], None], on_news: Callable[[], None]
    ) -> None:
        self.link, self.file, self.ollama = link, file, ollama
        self.on_call, self.on_news = on_call, on_news
        self.current = Routes()
        self.is_reachable: bool | None = None
        self.digest = ""
        self._called = 0
        self._told_older = 0
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def serial(self) -> int:
        return max((client.serial for client in self.current.clients.values()), default=0)

    def start(self) -> None:
        """Serves the routes of the file and starts the thread; called again, starts it anew if a fault ended it."""
        if self._thread is None:
            routes, _orders = store.load(self.file)
            for client in routes.clients.values():
                self._show(client)
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="agent-routes", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Without waiting for the answer under way: the thread is a daemon and holds nothing."""
        self._stopping.set()

    async def client_of(self, digest: str) -> ClientRoutes | None:
        return self.current.client_of(digest)

    def standing_orders(self) -> list[Order]:
        return []

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._wait_once()
                self.is_reachable = True
            except Stopped:
                return
            except Unknown as unknown:
                self._note(str(unknown))
                self._stopping.wait(UNKNOWN_PAUSE_S)
            except Refused as refused:
                self._note(str(refused))
                self._stopping.wait(UNKNOWN_PAUSE_S)

    def _note(self, why: str) -> None:
        if self.is_reachable is not False:
            log.warning("The last routes stand: %s", why)
        self.is_reachable = False

    def _wait_once(self) -> None:
        """One long poll. Raises Unknown, Refused, Stopped."""
        asked = urlencode({"have": self.digest, "serial": self.serial, "called": self._called})
        answer = self.link.ask("GET", f"{self.link.url}{WAIT_PATH}?{asked}", self._is_over)
        try:
            told = orjson.loads(answer.body)
            client = store.read(told["client"]) if told["client"] is not None else None
            digest, called = str(told["digest"]), int(told["called"])
        except (ValueError, KeyError, TypeError) as error:
            raise Refused("Headquarters answers something that is no routes: is the address right?") from error
        before, self._called = self._called, called
        if called not in (0, before):
            self.on_call()
        if client is not None:
            self._hear(client, digest)
        elif digest == self.digest:
            self._told_older = 0

    def _hear(self, client: ClientRoutes, digest: str) -> None:
        """What is newer is shown at once; what two gateways may say by turns, not without a pause."""
        is_newer = client.serial > self.serial or not self.digest
        self._told_older = self._told_older + 1 if client.serial < self.serial else 0
        if self._told_older in (0, OLDER_TIMES):
            self._told_older = 0
            self._show(client)
            self.digest = digest
            self._keep(client)
            self.on_news()
        if not is_newer:
            self._stopping.wait(BETWEEN_S)

    def _is_over(self) -> bool:
        """Asked in each pause between two attempts: then headquarters is away."""
        self.is_reachable = False
        return self._stopping.is_set()

    def _show(self, client: ClientRoutes) -> None:
        here = replace(client, pipelines={slug: self._entry(entry) for slug, entry in client.pipelines.items()})
        self.current = Routes.of({client.client_id: here})
        log.info("Routes up to %s: %s", client.serial, {slug: e.production for slug, e in here.pipelines.items()})

    def _entry(self, entry: RouteEntry) -> RouteEntry:
        return replace(entry, targets={number: self._target(target) for number, target in entry.targets.items()})

    def _target(self, target: Target) -> Target:
        """Every place is the host beside us, whatever headquarters calls it."""
        return replace(target, places=tuple(replace(place, url=self.ollama) for place in target.places))

    def _keep(self, client: ClientRoutes) -> None:
        try:
            store.save(self.file, Routes.of({client.client_id: client}), {})
        except OSError as error:
            log.warning("The routes could not be written to %s: %s", self.file, error.strerror)
