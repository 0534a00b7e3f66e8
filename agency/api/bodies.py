"""How much of a body is taken before anything is done: Django writes all of it to the disk before a view runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from importlib import import_module
from typing import Any

import orjson
from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.db import close_old_connections
from django.http import parse_cookie

from agency.api.auth import key_of
from tenants.machines import agents, machine_of

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

# What forms without a login may send is less: settings.DATA_UPLOAD_MAX_MEMORY_SIZE.
ANYBODYS_BYTES = 3_000_000
# Around a file in a form.
FORM_BYTES = 1 << 20


class TooLarge(Exception):
    """More than is taken of this caller."""


class Measured:
    """A body as it arrives. `most` bytes of it are taken; who sends more has to be known here."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._headers, self._receive = dict(scope["headers"]), receive
        declared = self._headers.get(b"content-length", b"")
        self._declared = int(declared) if declared.isdigit() else 0
        self._taken, self._most = 0, ANYBODYS_BYTES

    async def receive(self) -> Message:
        """The next piece. Raises `TooLarge`."""
        await self._judge(self._declared)
        message = await self._receive()
        self._taken += len(message.get("body", b""))
        await self._judge(self._taken)
        return message

    async def _judge(self, size: int) -> None:
        if size > self._most == ANYBODYS_BYTES and await sync_to_async(is_known)(self._headers):
            self._most = settings.BUNDLE_BYTES + FORM_BYTES
        if size > self._most:
            raise TooLarge


def bounded(app: App) -> App:
    """`app`, which is given no more of a body than its sender may send."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        try:
            await app(scope, Measured(scope, receive).receive, send)
        except TooLarge:
            await _refuse(send)

    return application


def is_known(headers: dict[bytes, bytes]) -> bool:
    """Whether these are the headers of somebody who has a key, a machine's or an agent's token, or is signed in."""
    try:
        kind, _, token = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
        if kind.lower() == "bearer" and any(find(token.strip()) for find in (key_of, machine_of, agents.agent_of)):
            return True
        cookie = parse_cookie(headers.get(b"cookie", b"").decode("latin-1")).get(settings.SESSION_COOKIE_NAME)
        return bool(cookie) and SESSION_KEY in import_module(settings.SESSION_ENGINE).SessionStore(cookie)
    finally:
        close_old_connections()


async def _refuse(send: Send) -> None:
    sentence = f"Too large: without a key or a login at most {ANYBODYS_BYTES} bytes, else RETUNE_BUNDLE_BYTES."
    body = orjson.dumps({"error": {"code": "too_large", "message": sentence}})
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": body})
