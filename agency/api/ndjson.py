"""An NDJSON body as lines, read as it arrives: neither a long upload nor a long line is ever whole in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain

from django.http import HttpRequest, UnreadablePostError
from django.utils.translation import gettext as _
from ninja.errors import HttpError

from pipelines.imports.lines import CHUNK_BYTES, split_lines


class CutOff(HttpError):
    """The sender went away before the end: what arrived is kept, the rest must come again."""

    def __init__(self, received: int, announced: int) -> None:
        text = _("The upload ended after %(received)s of %(announced)s bytes. Repeat it with the same Idempotency-Key.")
        super().__init__(400, text % {"received": received, "announced": announced})


def body_lines(request: HttpRequest) -> Iterator[bytes]:
    """Lines without their line break.

    Refuses a compressed (415) or empty (422) body before it gives anything; one that ends early raises `CutOff` later.
    """
    if request.headers.get("Content-Encoding", "identity") != "identity":
        raise HttpError(415, _("Send the lines uncompressed."))
    lines = split_lines(announced_chunks(request.read, int(request.headers.get("Content-Length") or 0)))
    first = next(lines, None)
    if first is None:
        raise HttpError(422, _("The body holds no lines. Send NDJSON with its Content-Length."))
    return chain([first], lines)


def announced_chunks(read: Callable[[int], bytes], announced: int) -> Iterator[bytes]:
    """Chunks of a body of `announced` bytes (0: not announced, until it ends)."""
    received = 0
    while chunk := _read(read, received, announced):
        received += len(chunk)
        yield chunk
    if received < announced:
        raise CutOff(received, announced)


def _read(read: Callable[[int], bytes], received: int, announced: int) -> bytes:
    try:
        return read(CHUNK_BYTES)
    except UnreadablePostError as error:
        raise CutOff(received, announced) from error
