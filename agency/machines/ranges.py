"""Answering with a file, whole or a piece: whoever fetches asks in ranges of bytes and goes on where a link was cut."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.utils.translation import gettext as _
from ninja.errors import HttpError

from agency.machines.programs import Offer
from pipelines.machines.inputs import piece

RANGE = re.compile(r"bytes=(\d+)-(\d*)")
CHUNK_BYTES = 256 * 1024
Range = tuple[int, int | None]


def asked(request: HttpRequest) -> Range:
    """First and last byte. 416 without them."""
    found = RANGE.fullmatch(request.headers.get("Range", ""))
    if found is None:
        raise HttpError(416, _("Ask for a range: Range: bytes=0-"))
    return int(found[1]), int(found[2]) if found[2] else None


def answer(request: HttpRequest, path: Path, size_bytes: int, span: Range) -> StreamingHttpResponse:
    """206, at most 4 MiB of it.

    It streams: a response that holds its body lives until the garbage collector comes by, and a push of 4 GB cost the
    server 200 MB that way.
    """
    begin, end = span
    if begin >= size_bytes:
        raise HttpError(416, _("The file has %(n)s bytes.") % {"n": size_bytes})
    length = piece(size_bytes, begin, end)
    read = _read_aside if isinstance(request, ASGIRequest) else _read
    found = StreamingHttpResponse(read(path, begin, length), status=206, content_type="application/octet-stream")
    found["Content-Range"] = f"bytes {begin}-{begin + length - 1}/{size_bytes}"
    found["Content-Length"] = str(length)
    found["Cache-Control"] = "no-store"
    return found


def program_file(offer: Offer) -> HttpResponse:
    found = HttpResponse(offer.body, content_type="application/octet-stream")
    found["X-Retune-Digest"] = offer.digest
    found["Cache-Control"] = "no-store"
    return found


def _read(path: Path, begin: int, length: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(begin)
        while length and (chunk := file.read(min(length, CHUNK_BYTES))):
            length -= len(chunk)
            yield chunk


async def _read_aside(path: Path, begin: int, length: int) -> AsyncIterator[bytes]:
    """The disk must not hold up the loop, which may be the gateway's too."""
    chunks = _read(path, begin, length)
    while chunk := await asyncio.to_thread(next, chunks, b""):
        yield chunk
