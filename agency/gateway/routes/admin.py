"""Orders past the database: a unix socket that takes one JSON line and answers one.

{"flip": {"client": "acorn", "pipeline": "support", "to_version": 3}}   all traffic to v3, at once; without
                                 `to_version` to the version before. "by" and "reason" are kept for the ledger.
{"status": true}                                                       what this gateway knows
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from agency.gateway.routes.follower import Follower, OrderRefused
from agency.gateway.routes.orders import is_listening

log = logging.getLogger(__name__)

LINE_BYTES = 64 * 1024
# The kernel's limit for a socket's path, less its closing zero.
PATH_BYTES = 107


def _details(given: dict[Any, Any]) -> tuple[int | None, str, str]:
    match given.get("to_version"), given.get("by", ""), given.get("reason", ""):
        case ((int() | None as number), str(by), str(reason)) if given.keys() <= {"to_version", "by", "reason"}:
            return number, by, reason
    raise OrderRefused("An order carries a client, a pipeline, to_version (a number), by and reason, nothing else.")


class AdminSocket:
    """Listens for orders of whoever may open the file: mode 0600, the gateway's own user."""

    def __init__(self, path: Path, follower: Follower, status: Callable[[], dict[str, Any]]) -> None:
        self.path, self.follower, self.status = path, follower, status
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        if len(os.fsencode(self.path)) > PATH_BYTES:
            log.warning(
                "No admin socket: %s is longer than %d bytes. Set RETUNE_VAR to a shorter path.", self.path, PATH_BYTES
            )
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if is_listening(self.path):
            # Several workers of one server: each must hear orders, so each has a socket of its own.
            self.path = self.path.with_name(f"{self.path.stem}-{os.getpid()}.sock")
        self.path.unlink(missing_ok=True)
        before = os.umask(0o177)
        try:
            self._server = await asyncio.start_unix_server(self._serve, self.path, limit=LINE_BYTES)
        finally:
            os.umask(before)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self.path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write(orjson.dumps(self.carry_out(line)) + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError):
            log.warning("The admin socket closed a connection that broke or sent too long a line.")
        finally:
            writer.close()

    def carry_out(self, line: bytes) -> dict[str, Any]:
        """One order, one answer: {"ok": true, ...} or {"ok": false, "error": sentence}."""
        try:
            match orjson.loads(line):
                case {"flip": {"client": str(client), "pipeline": str(pipeline), **rest}}:
                    entry = self.follower.order(client, pipeline, *_details(rest))
                    log.warning("Flipped %s/%s to v%d by an order at the socket.", client, pipeline, entry.production)
                    return {"ok": True, "production": entry.production, "overrides_serial": entry.serial}
                case {"status": True}:
                    return {"ok": True, **self.status()}
        except orjson.JSONDecodeError:
            return {"ok": False, "error": "Not a JSON line."}
        except OrderRefused as refused:
            return {"ok": False, "error": str(refused)}
        return {"ok": False, "error": 'Unknown order: send {"flip": {...}} or {"status": true}.'}
