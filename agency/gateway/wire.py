"""The gateway's HTTP surface: the paths it speaks, reading a request, answering in the caller's own wire format.

Texts of errors are part of the protocol (programs match on them), so they are not translated.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from enum import StrEnum
from typing import Any

import orjson

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Header = tuple[bytes, bytes]

JSON = b"application/json; charset=utf-8"
NDJSON = b"application/x-ndjson"
SSE = b"text/event-stream"


class Wire(StrEnum):
    """Whose language the caller speaks."""

    NATIVE = "native"
    OPENAI = "openai"


class Path(StrEnum):
    """Every path of the data plane. Whatever else begins with /api/ or /v1/ is 404: management never passes."""

    CHAT = "/api/chat"
    GENERATE = "/api/generate"
    TAGS = "/api/tags"
    VERSION = "/api/version"
    V1_CHAT = "/v1/chat/completions"
    V1_COMPLETIONS = "/v1/completions"
    V1_MODELS = "/v1/models"


LISTS = frozenset({Path.TAGS, Path.VERSION, Path.V1_MODELS})
PREFIXES = ("/api/", "/v1/")
CALLERS_FAULT = "invalid_request_error"
OPENAI_TYPES = {
    400: CALLERS_FAULT,
    401: CALLERS_FAULT,
    404: "not_found_error",
    408: CALLERS_FAULT,
    413: CALLERS_FAULT,
    415: CALLERS_FAULT,
    429: "rate_limit_error",
}
OPENAI_CODES = {401: "invalid_api_key", 429: "rate_limit_exceeded"}


class Refused(Exception):
    """An answer without a model: `status` and one sentence, put into the caller's format."""

    def __init__(self, status: int, message: str, headers: Iterable[Header] = ()) -> None:
        super().__init__(message)
        self.status, self.message, self.headers = status, message, tuple(headers)


def wire_of(path: str) -> Wire:
    return Wire.OPENAI if path.startswith("/v1/") else Wire.NATIVE


def find_path(path: str, method: str) -> Path:
    """The known path; `Refused` 404 for any other one and 405 for a method that it does not have."""
    try:
        known = Path(path)
    except ValueError:
        raise Refused(404, "404 page not found") from None
    allowed = ("GET", "HEAD") if known in LISTS else ("POST",)
    if method not in allowed:
        raise Refused(405, "405 method not allowed", [(b"allow", ", ".join(allowed).encode())])
    return known


def error_document(wire: Wire, status: int, message: str) -> dict[str, Any]:
    """`{"error": text}`, or the error object of the OpenAI format."""
    if wire is Wire.NATIVE:
        return {"error": message}
    kind, code = OPENAI_TYPES.get(status, "api_error"), OPENAI_CODES.get(status)
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def header(scope: Scope, name: bytes) -> str:
    """Value of a request header, "" where it is absent. ASGI header names are lower case."""
    for key, value in scope["headers"]:
        if key == name:
            return value.decode("latin-1")
    return ""


def bearer(scope: Scope) -> str:
    """The credential of `Authorization: Bearer`; "" where there is none."""
    kind, _, key = header(scope, b"authorization").partition(" ")
    return key.strip() if kind.lower() == "bearer" else ""


async def read_body(scope: Scope, receive: Receive, limit: int, within_s: float) -> bytes:
    """The whole body; `Refused` 413 above `limit` bytes, 408 when it takes longer (0: no end), 415 when compressed.

    ConnectionError when the caller left.
    """
    if header(scope, b"content-encoding") not in ("", "identity"):
        raise Refused(415, "the gateway takes uncompressed bodies only")
    declared = header(scope, b"content-length")
    if declared.isdigit() and int(declared) > limit:
        raise Refused(413, f"request body too large: at most {limit} bytes")
    try:
        async with asyncio.timeout(within_s or None):
            return await _received(receive, limit)
    except TimeoutError:
        raise Refused(408, "the request did not arrive in time") from None


async def _received(receive: Receive, limit: int) -> bytes:
    parts: list[bytes] = []
    size, is_more = 0, True
    while is_more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionError("the caller left before its request was whole")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        is_more = message.get("more_body", False)
        if size > limit:
            raise Refused(413, f"request body too large: at most {limit} bytes")
    return parts[0] if len(parts) == 1 else b"".join(parts)


def parse_body(body: bytes) -> dict[str, Any]:
    """The JSON object of a body; `Refused` 400 where it is none."""
    if not body:
        raise Refused(400, "missing request body")
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refused(400, f"invalid JSON: {error}") from None
    if not isinstance(document, dict):
        raise Refused(400, "invalid JSON: the body must be an object")
    return document


async def send_start(send: Send, status: int, content_type: bytes, headers: Iterable[Header] = ()) -> None:
    every = [(b"content-type", content_type), *headers]
    await send({"type": "http.response.start", "status": status, "headers": every})


async def send_body(send: Send, body: bytes, is_last: bool = False) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": not is_last})


async def send_bytes(send: Send, status: int, body: bytes, headers: Iterable[Header] = ()) -> None:
    """A whole JSON answer."""
    await send_start(send, status, JSON, [(b"content-length", str(len(body)).encode()), *headers])
    await send_body(send, body, is_last=True)


async def send_ok(send: Send) -> None:
    """What probes ask for."""
    await send_start(send, 200, b"text/plain; charset=utf-8", [(b"content-length", b"3")])
    await send_body(send, b"ok\n", is_last=True)


async def send_refusal(send: Send, wire: Wire, refused: Refused, headers: Iterable[Header] = ()) -> None:
    body = orjson.dumps(error_document(wire, refused.status, refused.message))
    await send_bytes(send, refused.status, body, [*refused.headers, *headers])
