"""Passing an answer on: untouched on native paths, translated on /v1; what breaks midway becomes an error."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import aiohttp
import orjson

from agency.gateway.asks import Ask
from agency.gateway.meter.sighting import Fault, Sighting
from agency.gateway.openai.replies import Translator
from agency.gateway.upstream import Answer, error_text
from agency.gateway.wire import SSE, Header, Send, Wire, error_document, send_body, send_bytes, send_start, wire_of

LINE_BYTES = 1 << 20
BROKEN = "the connection to the host broke"
UNFINISHED = "the host ended its answer before it was complete"


async def deliver(answer: Answer, ask: Ask, send: Send, headers: Sequence[Header], sighting: Sighting) -> None:
    """Sends the whole answer; the sighting hears every byte of the host's, whatever the caller is told."""
    if wire_of(ask.caller_path) is Wire.OPENAI:
        translator = Translator(ask, sighting.request_id, int(time.time()))
        if answer.is_whole:
            await _whole_openai(answer, translator, send, headers, sighting)
        else:
            await _stream_openai(answer, translator, send, headers, sighting)
    elif answer.is_whole:
        sighting.heard.add(answer.first)
        length = (b"content-length", str(len(answer.first)).encode())
        await send_start(send, answer.status, answer.content_type, [length, *headers])
        await send_body(send, answer.first, is_last=True)
    else:
        await _stream_native(answer, send, headers, sighting)


async def _chunks(answer: Answer, sighting: Sighting) -> AsyncIterator[bytes]:
    """Chunks as they come. A connection that breaks ends them; the sighting then carries the fault."""
    sighting.begin_stream()
    sighting.heard.add(answer.first)
    yield answer.first
    try:
        async for chunk in answer.rest():
            sighting.heard.add(chunk)
            yield chunk
    except (aiohttp.ClientError, TimeoutError, ConnectionError):
        sighting.fault = Fault.TRANSPORT


async def _stream_native(answer: Answer, send: Send, headers: Sequence[Header], sighting: Sighting) -> None:
    await send_start(send, 200, answer.content_type, headers)
    async for chunk in _chunks(answer, sighting):
        await send_body(send, chunk)
    if sighting.fault:
        # In the middle of a line a new one is begun; an empty line would be one too many for the ollama package.
        begin = b"" if sighting.heard.last.endswith(b"\n") else b"\n"
        await send_body(send, begin + b'{"error":"' + BROKEN.encode() + b'"}\n')
    await send_body(send, b"", is_last=True)


async def _whole_openai(
    answer: Answer, translator: Translator, send: Send, headers: Sequence[Header], sighting: Sighting
) -> None:
    sighting.heard.add(answer.first)
    if answer.status == 200:
        document = translator.whole(orjson.loads(answer.first))
    else:
        document = error_document(Wire.OPENAI, answer.status, error_text(answer.first))
    await send_bytes(send, answer.status, orjson.dumps(document), headers)


async def _stream_openai(
    answer: Answer, translator: Translator, send: Send, headers: Sequence[Header], sighting: Sighting
) -> None:
    await send_start(send, 200, SSE, [(b"cache-control", b"no-cache"), *headers])
    is_ended = False
    async for line in _lines(_chunks(answer, sighting), sighting):
        events = b"".join(translator.events(line))
        is_ended = is_ended or "error" in line or line.get("done") is True
        if events:
            await send_body(send, events)
    if not is_ended:
        sighting.fault = sighting.fault or Fault.ANSWER
        await send_body(send, translator.fault(BROKEN if sighting.fault is Fault.TRANSPORT else UNFINISHED))
    await send_body(send, b"", is_last=True)


async def _lines(chunks: AsyncIterator[bytes], sighting: Sighting) -> AsyncIterator[dict[str, Any]]:
    """JSON objects out of NDJSON, whatever the chunks' borders. What is no object, or too long, ends it as a fault."""
    pending = b""
    async for chunk in chunks:
        *whole, pending = (pending + chunk).split(b"\n")
        for raw in filter(None, whole):
            line = _object(raw)
            if line is None:
                sighting.fault = Fault.ANSWER
                return
            yield line
        if len(pending) > LINE_BYTES:
            sighting.fault = Fault.ANSWER
            return
    last = _object(pending) if pending.strip() else None
    if last is not None:
        yield last


def _object(raw: bytes) -> dict[str, Any] | None:
    try:
        line = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
    return line if isinstance(line, dict) else None
