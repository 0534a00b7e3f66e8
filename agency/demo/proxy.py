"""The fault proxy before the demo's host.

Lets everything pass, and spoils the answers of the versions it is told to.
"""

from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web

ASKING = {"/api/chat", "/api/generate"}
SLOW_S = 0.6
DROPPED = {"host", "content-length", "transfer-encoding", "connection"}


@dataclass
class FaultProxy:
    """Serves on 127.0.0.1:`port`. `faults`: end of a model name (":v2") -> "slow" or "failing"."""

    upstream: str
    port: int
    faults: dict[str, str] = field(default_factory=dict)
    spoiled: dict[str, int] = field(default_factory=dict)

    def start(self) -> None:
        """In a thread of its own; returns once it serves."""
        ready = threading.Event()
        threading.Thread(target=lambda: asyncio.run(self._serve(ready)), daemon=True).start()
        ready.wait(10)

    async def _serve(self, ready: threading.Event) -> None:
        app = web.Application(client_max_size=2**40)
        app.router.add_route("*", "/{path:.*}", self._pass)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.port).start()
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10)
        async with aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as self.session:
            ready.set()
            await asyncio.Event().wait()

    async def _pass(self, request: web.Request) -> web.StreamResponse:
        asks = request.path in ASKING
        body: Any = await request.read() if asks else request.content
        match self._fault(body) if asks else None:
            case "failing":
                return web.json_response({"error": "the model runner has stopped"}, status=500)
            case "slow":
                await asyncio.sleep(SLOW_S)
        return await self._forward(request, body)

    def _fault(self, body: bytes) -> str | None:
        name = str(json.loads(body).get("model", "")) if body else ""
        for ending, fault in self.faults.items():
            if name.endswith(ending):
                self.spoiled[ending] = self.spoiled.get(ending, 0) + 1
                return fault
        return None

    async def _forward(self, request: web.Request, body: Any) -> web.StreamResponse:
        headers = {k: v for k, v in request.headers.items() if k.lower() not in DROPPED}
        if request.content_length is not None:
            headers["Content-Length"] = str(request.content_length)
        data = None if request.method in ("GET", "HEAD") else body
        async with self.session.request(
            request.method, f"{self.upstream}{request.path_qs}", data=data, headers=headers
        ) as answer:
            kept = {k: v for k, v in answer.headers.items() if k.lower() not in DROPPED}
            response = web.StreamResponse(status=answer.status, headers=kept)
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
            await response.write_eof()
            return response
