"""The wire's small print: Go-style JSON, times and durations, requests and replies of a pure ASGI app."""

import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

JSON = "application/json; charset=utf-8"
PLAIN_JSON = "application/json"  # replies that passed through a stream translator carry no charset
NDJSON = "application/x-ndjson"
SSE = "text/event-stream"
GO_ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
FOREVER = timedelta(seconds=2**63 / 1e9)  # Go's longest duration, about 292 years
DURATION_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")
UNIT_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


class Refused(Exception):
    """An answer with an error status; `document` replaces the plain `{"error": text}` body."""

    def __init__(self, status: int, text: str, content_type: str = JSON, document: Any = None) -> None:
        super().__init__(text)
        self.status, self.text, self.content_type = status, text, content_type
        self.document = {"error": text} if document is None else document

    def reply(self) -> "Reply":
        return Reply(self.status, encode(self.document), self.content_type)


def disk_fault(fault: OSError) -> Refused:
    """A 500 with the system's own words, as Go prints them."""
    return Refused(500, f"write {fault.filename}: {(fault.strerror or str(fault)).lower()}", PLAIN_JSON)


@dataclass(frozen=True, slots=True)
class Reply:
    status: int = 200
    body: bytes = b""
    content_type: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stream:
    chunks: AsyncGenerator[bytes]
    content_type: str


@dataclass(slots=True)
class Request:
    """One HTTP request; `body` is filled before the handler runs, except on routes that read `receive` themselves."""

    method: str
    path: str
    headers: Mapping[str, str]
    receive: Receive
    body: bytes = b""
    rest: str = ""

    def document(self) -> dict[str, Any]:
        """The JSON object of the body, with Go's error texts where it is none."""
        if not self.body:
            raise Refused(400, "missing request body")
        try:
            found = json.loads(self.body)
        except UnicodeDecodeError:
            raise Refused(400, "invalid character in string literal") from None
        except json.JSONDecodeError as fault:
            raise Refused(400, go_json_fault(fault)) from None
        if not isinstance(found, dict):
            kind = {list: "array", str: "string", bool: "bool"}.get(type(found), "number")
            raise Refused(400, f"json: cannot unmarshal {kind} into Go value of type api.Request")
        return found


def go_json_fault(fault: json.JSONDecodeError) -> str:
    if fault.pos >= len(fault.doc.rstrip()):
        return "unexpected EOF"
    place = "object key string" if "property name" in fault.msg else "value"
    return f"invalid character '{fault.doc[fault.pos]}' looking for beginning of {place}"


def encode(document: Any) -> bytes:
    """JSON as Go's encoder writes it: compact, UTF-8, `<`, `>` and `&` escaped."""
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    for plain, escaped in GO_ESCAPES.items():
        text = text.replace(plain, escaped)
    return text.encode()


def as_json(document: Any, status: int = 200, content_type: str = JSON) -> Reply:
    return Reply(status, encode(document), content_type)


def rfc3339(at: datetime) -> str:
    """RFC 3339 with nanosecond digits, trailing zeros dropped, as Go prints a UTC time."""
    fraction = f"{at.microsecond:06d}".rstrip("0")
    return at.strftime("%Y-%m-%dT%H:%M:%S") + (f".{fraction}" if fraction else "") + "Z"


def now() -> datetime:
    return datetime.now(UTC)


def keep_alive_s(value: Any) -> float | None:
    """`keep_alive` in seconds; infinity for a negative one; None where the field is absent.

    Numbers are seconds, strings Go durations. Raises Refused(400) with Go's own sentence.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise Refused(400, f"Unsupported type: 'time.Duration' {value}")
    seconds = float(value) if isinstance(value, (int, float)) else go_duration_s(value)
    return float("inf") if seconds < 0 else seconds


def go_duration_s(text: str) -> float:
    sign = -1.0 if text.startswith("-") else 1.0
    digits = text.lstrip("+-")
    if digits == "0":
        return 0.0
    parts = DURATION_PART.findall(digits)
    if parts and "".join(number + unit for number, unit in parts) == digits:
        return sign * sum(float(number) * UNIT_S[unit] for number, unit in parts)
    if re.fullmatch(r"\d+(\.\d*)?", digits):
        raise Refused(400, f'time: missing unit in duration "{text}"')
    raise Refused(400, f'time: invalid duration "{text}"')


async def send_reply(reply: Reply, send: Send, is_head: bool = False) -> None:
    headers = [(name.encode(), value.encode()) for name, value in reply.headers.items()]
    if reply.content_type:
        headers.append((b"content-type", reply.content_type.encode()))
    headers.append((b"content-length", str(len(reply.body)).encode()))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if is_head else reply.body})


async def send_stream(stream: Stream, send: Send) -> None:
    """Send chunks as they come; a Refused before the first one still becomes a status."""
    async with aclosing(stream.chunks) as chunks:
        try:
            first = await anext(chunks, None)
        except Refused as refused:
            await send_reply(refused.reply(), send)
            return
        await _send_chunks(first, chunks, stream.content_type, send)


async def _send_chunks(first: bytes | None, chunks: AsyncIterator[bytes], content_type: str, send: Send) -> None:
    headers = [(b"content-type", content_type.encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    if first is not None:
        await send({"type": "http.response.body", "body": first, "more_body": True})
    async for chunk in chunks:
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
