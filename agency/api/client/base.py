"""Retune's REST API for Python 3.11 and later: standard library only, every call and answer typed.

    from retune_client import Retune

    retune = Retune("https://retune.agency.example", "rk_...")
    run = retune.order_run("tickets", reason="new prices")
    print(retune.read_run("tickets", run["number"])["status"])

What is refused raises `Refused` with the sentence of the server. Reading, and whatever carries an Idempotency-Key, is
tried again when the way there breaks; nothing else is ever sent twice.
"""

from __future__ import annotations

import io
import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

BROKEN_WAYS = (502, 503, 504)
FIRST_PAUSE_S = 0.5


class Refused(Exception):
    """The server's no. `request_id` is what its people find in their log."""

    def __init__(self, status: int, code: str, message: str, request_id: str = "") -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.request_id = status, code, message, request_id

    def __str__(self) -> str:
        return f"{self.status} {self.code}: {self.message}"


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """The key is for one address: it does not travel on."""

    def redirect_request(self, *_args: Any, **_more: Any) -> None:
        return None


class Door:
    """How every call is sent. `timeout_s` is the longest silence; `tries` counts the first one too."""

    def __init__(self, base_url: str, key: str, *, timeout_s: float = 60.0, tries: int = 3) -> None:
        if urlsplit(base_url).scheme not in ("http", "https"):
            raise ValueError(f"{base_url!r} is no http(s) address of a Retune installation.")
        self._root, self._key = base_url.rstrip("/"), key
        self._timeout_s, self._tries = timeout_s, tries
        self._opener = urllib.request.build_opener(_NoRedirects)

    def _call(
        self,
        method: str,
        path: str,
        query: Mapping[str, object] | None = None,
        body: Mapping[str, object] | None = None,
    ) -> Any:
        """What was not given is left out: the server has its own defaults."""
        data = None if body is None else json.dumps(_given(body)).encode()
        headers = {} if data is None else {"Content-Type": "application/json"}
        tries = self._tries if method == "GET" else 1  # A PUT names what it was made from: its second is a conflict.
        return self._retried(tries, lambda: self._send(method, path, query, data, headers))

    def _upload(self, path: str, rows: Iterable[Mapping[str, object]], idempotency_key: str) -> Any:
        """Streams: rows are not gathered. Sent again only when they can be read again."""
        headers = {"Content-Type": "application/x-ndjson", "Idempotency-Key": idempotency_key}
        tries = self._tries if isinstance(rows, Sequence) else 1
        return self._retried(tries, lambda: self._send("POST", path, None, _lines(rows), headers))

    def _send_file(self, path: str, file: io.BufferedIOBase, query: Mapping[str, object] | None = None) -> Any:
        """Streams an open file from where it stands, its length told first. Sent once."""
        begin = file.tell()
        size = file.seek(0, io.SEEK_END) - begin
        file.seek(begin)
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        return self._send("POST", path, query, file, headers)

    def _retried(self, tries: int, send: Any) -> Any:
        for left in range(tries - 1, -1, -1):
            try:
                return send()
            except Refused as refused:
                if not left or refused.status not in BROKEN_WAYS:
                    raise
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                if not left:
                    raise
            time.sleep(FIRST_PAUSE_S * 2 ** (tries - 1 - left))
        raise AssertionError("unreachable")

    def _send(
        self, method: str, path: str, query: Mapping[str, object] | None, data: Any, headers: Mapping[str, str]
    ) -> Any:
        asked = urlencode(_given(query or {}))
        url = f"{self._root}{path}" + (f"?{asked}" if asked else "")
        request = urllib.request.Request(url, data, {**headers, "Authorization": f"Bearer {self._key}"}, method=method)
        try:
            with self._opener.open(request, timeout=self._timeout_s) as answer:
                return _read(answer.headers.get("Content-Type", ""), answer.read())
        except urllib.error.HTTPError as refused:
            raise _refusal(refused) from None


def _given(values: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in values.items() if value is not None}


def _lines(rows: Iterable[Mapping[str, object]]) -> Iterator[bytes]:
    for row in rows:
        yield json.dumps(row, ensure_ascii=False).encode() + b"\n"


def _part(value: object) -> str:
    return quote(str(value), safe="")


def _read(kind: str, body: bytes) -> Any:
    return json.loads(body) if kind.startswith("application/json") else body


def _refusal(answer: urllib.error.HTTPError) -> Refused:
    request_id = answer.headers.get("X-Request-Id", "")
    try:
        error = json.loads(answer.read())["error"]
        return Refused(answer.code, str(error["code"]), str(error["message"]), request_id)
    except (ValueError, KeyError, TypeError):
        # A proxy on the way speaks for itself.
        return Refused(answer.code, "error", str(answer.reason), request_id)
