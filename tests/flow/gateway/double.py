"""A host that answers as Ollama does, or breaks in the ways that real ones break; and servers in threads."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from aiohttp import web

WORDS = ("bill", "ing")
STATS = {"done": True, "done_reason": "stop", "total_duration": 9, "prompt_eval_count": 11, "eval_count": 2}


@dataclass
class Double:
    """`behaviour[model]`: ok, dies, midway, cut, 404, 503, 400, error_line, garbage, stalls (after its headers, for
    ever), or slow (until `release`)."""

    behaviour: dict[str, str] = field(default_factory=dict)
    answer: tuple[str, ...] = WORDS
    asked: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    cancelled: int = 0
    release: threading.Event = field(default_factory=threading.Event)
    url: str = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.asked.append({"path": request.path, **body})
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        kind = self.behaviour.get(body["model"], "ok")
        try:
            if kind == "slow":
                while not self.release.is_set():
                    await asyncio.sleep(0.01)
            return await self._answer(request, body, kind)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise

    async def _answer(self, request: web.Request, body: dict[str, Any], kind: str) -> web.StreamResponse:
        if kind == "dies":
            request.transport.abort()
            return web.Response()
        if kind == "garbage":
            return web.Response(body=b"<html>\xff\x00 a page of somebody else</html>", content_type="text/html")
        if kind == "stalls":
            return await self._stall(request)
        if kind.isdigit():
            return web.json_response({"error": f"status {kind}"}, status=int(kind))
        if body.get("stream") is False:
            return web.json_response(
                self._line(body, "".join(self.answer)) | (STATS if kind != "cut" else {"done": False})
            )
        return await self._stream(request, body, kind)

    async def _stall(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        while not self.release.is_set():
            await asyncio.sleep(0.01)
        return response

    async def _stream(self, request: web.Request, body: dict[str, Any], kind: str) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(request)
        for word in self.answer:
            await response.write(json.dumps(self._line(body, word) | {"done": False}).encode() + b"\n")
            await asyncio.sleep(0.005)
        if kind == "midway":
            request.transport.abort()
        elif kind == "error_line":
            await response.write(b'{"error":"out of memory"}\n')
        elif kind != "cut":
            await response.write(json.dumps(self._line(body, "") | STATS).encode() + b"\n")
        return response

    def _line(self, body: dict[str, Any], text: str) -> dict[str, Any]:
        if "messages" in body:
            return {"model": body["model"], "message": {"role": "assistant", "content": text}}
        return {"model": body["model"], "response": text}

    @contextmanager
    def serving(self) -> Iterator[Double]:
        app = web.Application(client_max_size=64 * 2**20)
        app.router.add_route("*", "/{tail:.*}", self.handle)
        loop = asyncio.new_event_loop()
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        thread = threading.Thread(target=loop.run_forever, daemon=True)
        thread.start()

        async def start() -> int:
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            return runner.addresses[0][1]

        self.url = f"http://127.0.0.1:{asyncio.run_coroutine_threadsafe(start(), loop).result(10)}"
        try:
            yield self
        finally:
            self.release.set()
            asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
            loop.call_soon_threadsafe(loop.stop)
            thread.join(10)
            loop.close()


@contextmanager
def asgi_server(app: Any) -> Iterator[str]:
    """Serves an ASGI app with uvicorn in a thread; gives its URL."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    wait_for(lambda: server.started)
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)
        listening.close()
        assert not thread.is_alive(), "the server did not stop"


def wait_for(is_true: Callable[[], Any], within_s: float = 10.0) -> float:
    """Polls until it is true; gives the seconds that took. AssertionError when it never was."""
    began = time.monotonic()
    while not is_true():
        assert time.monotonic() - began < within_s, f"not within {within_s} s"
        time.sleep(0.01)
    return time.monotonic() - began
