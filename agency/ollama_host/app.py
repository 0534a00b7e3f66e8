"""The ASGI app: routes, origin and host checks, blobs, and an answer that ends when its client leaves."""

import asyncio
import hashlib
import ipaddress
import os
import re
import socket
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from agency.ollama_host import creating, describe, inference, openai
from agency.ollama_host.host import Host, Settings
from agency.ollama_host.store.disk import is_digest
from agency.ollama_host.store.gguf import ServerEnds
from agency.ollama_host.wire import (
    Message,
    Receive,
    Refused,
    Reply,
    Request,
    Send,
    Stream,
    as_json,
    disk_fault,
    send_reply,
    send_stream,
)  # fmt: skip

Handler = Callable[[Host, Request], Awaitable[Reply | Stream]]
WRITE_BYTES = 4 << 20
LOCAL_NAMES = ("localhost", "127.0.0.1", "0.0.0.0", "[::1]", "::1")
LOCAL_SCHEMES = ("app", "file", "tauri", "vscode-webview", "vscode-file")


async def root(_host: Host, _request: Request) -> Reply:
    return Reply(200, b"Ollama is running", "text/plain; charset=utf-8")


async def version(host: Host, _request: Request) -> Reply:
    return as_json({"version": host.settings.shown_version})


async def head_blob(host: Host, request: Request) -> Reply:
    digest = _digest(request.rest)
    if not host.store.has(digest):
        raise Refused(404, f'blob "{digest}" not found')
    return Reply()


async def post_blob(host: Host, request: Request) -> Reply:
    """Stream an upload to a temporary file, hashing on the way; wrong bytes are kept under their true digest."""
    digest = _digest(request.rest)
    if host.store.has(digest):
        return Reply()
    temporary = host.store.temporary()
    try:
        found = await _receive_file(host, request.receive, temporary)
        if found is None:
            return Reply(400)
        host.store.adopt(temporary, found)
    finally:
        temporary.unlink(missing_ok=True)
    if found != digest:
        raise Refused(400, f'digest mismatch, expected "{digest}", got "{found}"')
    return Reply(201)


def _digest(text: str) -> str:
    if not is_digest(text):
        raise Refused(400, "invalid digest format")
    return text


async def _receive_file(host: Host, receive: Receive, path: Path) -> str | None:
    """Body to file; its digest, or None where the client left before the end."""
    hasher, waiting = hashlib.sha256(), bytearray()
    with path.open("wb") as file:

        def flush(data: bytes) -> None:
            hasher.update(data)
            file.write(data)
            host.store.check_room()

        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            waiting += message.get("body", b"")
            is_last = not message.get("more_body")
            if is_last or len(waiting) >= WRITE_BYTES:
                await asyncio.to_thread(flush, bytes(waiting))
                waiting.clear()
            if is_last:
                return f"sha256:{hasher.hexdigest()}"


# (path pattern, {method: handler}); the pattern's group is what `request.rest` holds
ROUTES: tuple[tuple[str, dict[str, Handler]], ...] = (
    ("/", {"HEAD": root, "GET": root}),
    ("/api/version", {"HEAD": version, "GET": version}),
    ("/api/tags", {"HEAD": describe.tags, "GET": describe.tags}),
    ("/api/ps", {"GET": describe.ps}),
    ("/api/show", {"POST": describe.show}),
    ("/api/blobs/([^/]+)", {"HEAD": head_blob, "POST": post_blob}),
    ("/api/create", {"POST": creating.create}),
    ("/api/copy", {"POST": creating.copy}),
    ("/api/delete", {"DELETE": creating.delete}),
    ("/api/generate", {"POST": inference.generate}),
    ("/api/chat", {"POST": inference.chat}),
    ("/api/embed", {"POST": inference.embed}),
    ("/v1/models", {"GET": openai.models}),
    ("/v1/models/([^/]+)", {"GET": openai.model}),
    ("/v1/chat/completions", {"POST": openai.chat_completions}),
    ("/v1/completions", {"POST": openai.completions}),
    ("/v1/embeddings", {"POST": openai.embeddings}),
)


def _is_loopback(bind: str) -> bool:
    with suppress(ValueError):
        return ipaddress.ip_address(bind).is_loopback
    return bind == "localhost"


class App:
    """A host as an ASGI application; make it inside the event loop that will serve it, or through the lifespan."""

    def __init__(self, settings: Settings) -> None:
        self.host = Host(settings)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await asyncio.to_thread(self.host.store.sweep)
            else:
                await self.host.scheduler.close()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return

    async def _http(self, scope: Message, receive: Receive, send: Send) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        request = Request(scope["method"], scope["path"], headers, receive)
        is_head = request.method == "HEAD"
        try:
            handler = self._handler(request)
        except _Plain as plain:
            await send_reply(plain.reply, send, is_head)
            return
        if handler is post_blob:
            await self._answer(handler, request, send)
        elif await _read_body(request):
            await _until_gone(self._answer(handler, request, send), receive)

    def _handler(self, request: Request) -> Handler:
        if not self._is_allowed(request.headers):
            raise _Plain(Reply(403))
        for pattern, methods in ROUTES:
            if match := re.fullmatch(pattern, request.path):
                request.rest = match[1] if match.groups() else ""
                if request.method in methods:
                    return methods[request.method]
                allow = {"Allow": ", ".join(methods)}
                raise _Plain(Reply(405, b"405 method not allowed", "text/plain", allow))
        raise _Plain(Reply(404, b"404 page not found", "text/plain"))

    def _is_allowed(self, headers: Any) -> bool:
        origin = headers.get("origin")
        if origin and not _is_local_origin(origin):
            return False
        # Whoever opens it to a network is called by the network's names: the real one checks none then.
        return not _is_loopback(self.host.settings.bind) or self._is_local_host(headers.get("host", ""))

    def _is_local_host(self, host: str) -> bool:
        name = (urlsplit(f"//{host}").hostname or "").lower()
        if not name or name in ("localhost", socket.gethostname().lower()):
            return True
        if name.endswith((".localhost", ".local", ".internal")):
            return True
        with suppress(ValueError):
            address = ipaddress.ip_address(name)
            return address.is_private or address.is_loopback
        return False

    async def _answer(self, handler: Handler, request: Request, send: Send) -> None:
        try:
            found = await handler(self.host, request)
            if isinstance(found, Stream):
                await send_stream(found, send)
                return
        except Refused as refused:
            found = refused.reply()
        except OSError as fault:
            found = disk_fault(fault).reply()
        except ServerEnds as end:
            print(end, file=sys.stderr, flush=True)
            os._exit(2)
        await send_reply(found, send, request.method == "HEAD")


class _Plain(Exception):
    """An answer given before any handler runs."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.status)
        self.reply = reply


def _is_local_origin(origin: str) -> bool:
    parts = urlsplit(origin)
    return parts.scheme in LOCAL_SCHEMES or parts.hostname in LOCAL_NAMES


async def _read_body(request: Request) -> bool:
    """Fill `request.body`; False where the client left first."""
    body = bytearray()
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            return False
        body += message.get("body", b"")
        if not message.get("more_body"):
            request.body = bytes(body)
            return True


async def _until_gone(answer: Awaitable[None], receive: Receive) -> None:
    """Run an answer, but cancel it as soon as its client has left."""
    work, gone = asyncio.ensure_future(answer), asyncio.ensure_future(_disconnected(receive))
    try:
        await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            work.cancel()
        with suppress(asyncio.CancelledError):
            await work
    finally:
        work.cancel()
        gone.cancel()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
