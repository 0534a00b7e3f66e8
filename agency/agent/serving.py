"""What serves: routes and calls from headquarters, the gateway for the client's applications, records back."""

from __future__ import annotations

import http.client
import json
import logging
import os
import random
import secrets
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from agency.agent.hands import Hands, connected
from agency.agent.mirror import Mirror
from agency.agent.program import built
from agency.agent.spool import Spool
from agency.agent.uploads import Files
from agency.gateway.limits import Limits
from agency.gateway.meter.flusher import Meter
from agency.gateway.plane import Plane, beside, nothing_else
from agency.gateway.upstream import Upstream
from pipelines.worker import updating
from pipelines.worker.link import LOOPBACK, Link, Refused, Stopped, Unknown

log = logging.getLogger("retune-agent")

HELLO_S, SPREAD_S = 30.0, 1.0


@dataclass(frozen=True)
class Terms:
    """What the environment says."""

    url: str
    gateway_url: str
    ollama: str
    address: str
    port: int
    folder: Path

    @classmethod
    def from_environment(cls) -> Terms:
        url = os.environ["RETUNE_URL"]
        address, _, port = os.environ.get("RETUNE_LISTEN", "127.0.0.1:8430").rpartition(":")
        if not address or not port.isdigit():
            raise ValueError("RETUNE_LISTEN is an address and a port: 127.0.0.1:8430")
        ollama = os.environ.get("RETUNE_OLLAMA_URL", "http://127.0.0.1:11434").rstrip("/")
        if urlsplit(ollama).scheme not in ("http", "https") or not urlsplit(ollama).hostname:
            raise ValueError(f"RETUNE_OLLAMA_URL={ollama!r} is not an address: http://127.0.0.1:11434")
        folder = Path(os.environ.get("RETUNE_WORK_DIR", "~/.cache/retune-agent")).expanduser().resolve()
        return cls(url, os.environ.get("RETUNE_GATEWAY_URL", url), ollama, address, int(port), folder)


class Agent:
    """Its parts, each with threads of its own; the gateway has the main one."""

    def __init__(self, terms: Terms, key: str, pause_s: float, updates: bool = False) -> None:
        self.terms, self.ending, self.news = terms, threading.Event(), threading.Event()
        self.session, self.updates, self.has_new_program = secrets.token_hex(8), updates, False
        self._offered = ""
        self.server: Any = None
        self.link = Link(terms.url, key, pause_s, room="agent")
        to_gateway = Link(terms.gateway_url, key, pause_s, room="agent")
        files = Files(terms.folder / "files", urlsplit(terms.ollama).hostname in LOOPBACK)
        self.hands = Hands(self.link, terms.ollama, files, ending=self.ending)
        routes = terms.folder / "routes" / "agent.json"
        self.mirror = Mirror(to_gateway, routes, terms.ollama, self.hands.call, self.news.set)
        self.spool = Spool(self.link, terms.folder / "records", ending=self.ending)
        limits = Limits.from_environment()
        self.plane = Plane(self.mirror, Meter(self.spool.write), Upstream(limits, allow_private=True), limits)

    def begin(self) -> None:
        """All but the gateway."""
        self.spool.start()
        self.hands.start()
        threading.Thread(target=self._greet, name="agent-hello", daemon=True).start()

    def serve(self) -> None:
        """Until the process is asked to end."""
        import uvicorn

        self.begin()
        application = beside(self.plane, nothing_else)
        try:
            self.server = uvicorn.Server(
                uvicorn.Config(
                    application, host=self.terms.address, port=self.terms.port, access_log=False, proxy_headers=False,
                    log_config=None,
                )
            )  # fmt: skip
            self.server.run()
        finally:
            self.ending.set()
            self.news.set()

    def _greet(self) -> None:
        """Now and then, and at once when it serves new routes: the host's page says how far behind it is."""
        while not self.ending.is_set():
            self.news.clear()
            try:
                told = self.link.post("hello", self.said, self.ending.is_set)
                self._note_offer(told.get("program"))
            except Stopped:
                return
            except (Unknown, Refused) as wrong:
                log.warning("Headquarters: %s", wrong)
            except Exception:
                log.exception("Headquarters")
            with suppress(OSError):
                self.hands.files.forget_old()
            if self.news.wait(HELLO_S):
                self.ending.wait(random.uniform(0, SPREAD_S))  # All those of a chain have news at the same moment.

    def _note_offer(self, offer: Mapping[str, Any] | None) -> None:
        """Where it is asked to: takes the program, once each, and lets the answers under way come to their end."""
        if not offer or not updating.is_other(offer) or offer["digest"] == self._offered:
            return
        self._offered = str(offer["digest"])
        if not self.updates:
            log.info("Retune offers another program, %s: run `update`.", offer["version"])
            return
        try:
            updating.take(self.link, self.ending.is_set)
        except (updating.NotTaken, OSError) as why:
            log.warning("The offered program is not taken: %s", why)
            return
        log.info("The new program is here: starting it.")
        self.has_new_program = self.server.should_exit = True

    def said(self) -> dict[str, Any]:
        """As the door `agent/hello` takes it."""
        version = ollama_version(self.terms.ollama)
        return {
            "version": built(),
            "program": updating.digest_of_mine(),
            "session": self.session,
            "at": datetime.now(UTC).isoformat(),
            "ollama": version,
            "is_ollama_up": bool(version),
            "routes": self.mirror.digest,
            "serial": self.mirror.serial,
            "records": self.spool.waiting + self.plane.meter.pending,
            "dropped": self.spool.dropped + self.plane.meter.dropped,
            "port": self.terms.port,
            "address": self.terms.address,
        }


def server_version() -> str:
    """Told once all that serves could be imported: whoever takes another program tries it so first."""
    import uvicorn

    return str(uvicorn.__version__)


def ollama_version(url: str) -> str:
    """Empty where it does not answer."""
    connection = connected(url, 3.0)
    with suppress(OSError, http.client.HTTPException, ValueError, AttributeError):
        connection.request("GET", "/api/version")
        return str(json.loads(connection.getresponse().read(4096)).get("version", ""))[:40]
    return ""
