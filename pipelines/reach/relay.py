"""The way to a host that only its agent can reach: a request is written down, the agent makes it, and answers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx2
from django.utils.timezone import now as clock

from tenants import scope
from tenants.machines import calls
from tenants.machines.calls import Wanted
from tenants.models import Host, HostCall

UPLOAD = "/api/blobs/sha256:"
# An agent that is there claims within a second; one that makes a call says so every five.
CLAIMED_WITHIN_S, SILENT_S = 15.0, 60.0
FIRST_LOOK_S, LONGEST_LOOK_S = 0.02, 0.5
FIELDS = ("status", "claimed_at", "heard_at", "done_bytes")


class Relay(httpx2.BaseTransport):
    """Guarantees: whoever asks gets an answer or an httpx2.TransportError, and leaves no row behind.

    The bytes of an upload do not pass here: the agent fetches the file by its digest. The request's own body is read
    as far as the host has it, so that whoever counts its bytes sees how far an upload is.
    """

    def __init__(self, row: Host, timeout_s: float) -> None:
        self._row, self._timeout_s = row, timeout_s

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        patience_s = float(request.extensions.get("deadline_s", self._timeout_s))
        with scope.client_scope(self._row.client_id, self._row.agency_id):
            call = calls.ask(self._row, _wanted(request), clock(), timedelta(seconds=patience_s))
            if call is None:
                raise httpx2.ConnectError("its agent was revoked")
            try:
                return self._answer(call, request, time.monotonic() + patience_s)
            finally:
                HostCall.objects.filter(pk=call.pk).delete()

    def _answer(self, call: HostCall, request: httpx2.Request, ends_at: float) -> httpx2.Response:
        unclaimed_at, pause_s = time.monotonic() + CLAIMED_WITHIN_S, FIRST_LOOK_S
        upload = Sent(request) if call.digest else None
        while True:
            seen = HostCall.objects.filter(pk=call.pk).values(*FIELDS).get()
            if upload is not None:
                upload.up_to(seen["done_bytes"] if seen["status"] is None else call.size_bytes)
            if seen["status"] is not None:
                return _response(HostCall.objects.get(pk=call.pk))
            _check_patience(seen, unclaimed_at, ends_at)
            time.sleep(pause_s)
            pause_s = min(pause_s * 1.5, LONGEST_LOOK_S)


class Sent:
    """The body of an upload, read as far as the host has it."""

    def __init__(self, request: httpx2.Request) -> None:
        self._chunks: Iterator[bytes] = iter(request.stream)  # type: ignore[arg-type]
        self._read = 0

    def up_to(self, done_bytes: int) -> None:
        while self._read < done_bytes:
            chunk = next(self._chunks, b"")
            if not chunk:
                return
            self._read += len(chunk)


def _wanted(request: httpx2.Request) -> Wanted:
    path = request.url.path
    if request.method == "POST" and path.startswith(UPLOAD):
        size = int(request.headers["Content-Length"])
        return Wanted(request.method, path, digest=path.removeprefix(UPLOAD), size_bytes=size)
    return Wanted(request.method, path, request.read())


def _check_patience(seen: dict[str, Any], unclaimed_at: float, ends_at: float) -> None:
    at = time.monotonic()
    if seen["claimed_at"] is None and at > min(unclaimed_at, ends_at):
        raise httpx2.ConnectTimeout("its agent takes no calls")
    if at > ends_at:
        raise httpx2.ReadTimeout("its agent has no answer in time")
    if seen["heard_at"] is not None and (clock() - seen["heard_at"]).total_seconds() > SILENT_S:
        raise httpx2.ReadError("its agent went silent")


def _response(call: HostCall) -> httpx2.Response:
    if not call.status:
        raise httpx2.ConnectError(bytes(call.answer).decode(errors="replace")[:300])
    headers = {"Content-Type": call.content_type} if call.content_type else {}
    return httpx2.Response(call.status, headers=headers, content=bytes(call.answer))
