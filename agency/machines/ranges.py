"""Answering with a piece of a file: whoever fetches asks in ranges of bytes and goes on where a link was cut."""

from __future__ import annotations

import re
from pathlib import Path

from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from ninja.errors import HttpError

from pipelines.machines.inputs import piece

RANGE = re.compile(r"bytes=(\d+)-(\d*)")
Range = tuple[int, int | None]


def asked(request: HttpRequest) -> Range:
    """First and last byte. 416 without them."""
    found = RANGE.fullmatch(request.headers.get("Range", ""))
    if found is None:
        raise HttpError(416, _("Ask for a range: Range: bytes=0-"))
    return int(found[1]), int(found[2]) if found[2] else None


def answer(path: Path, size_bytes: int, span: Range) -> HttpResponse:
    """206, at most 4 MiB of it."""
    begin, end = span
    if begin >= size_bytes:
        raise HttpError(416, _("The file has %(n)s bytes.") % {"n": size_bytes})
    body = piece(path, begin, end)
    found = HttpResponse(body, status=206, content_type="application/octet-stream")
    found["Content-Range"] = f"bytes {begin}-{begin + len(body) - 1}/{size_bytes}"
    found["Cache-Control"] = "no-store"
    return found
