"""For children, which have no database: a loopback address that leads to a host behind its agent, if they know how."""

from __future__ import annotations

import secrets
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx2
from django.db import connections

from pipelines.outbound import Access
from pipelines.outbound.client import open_client
from pipelines.reach.relay import Relay
from tenants.models import Host

# As long as the longest call of a child: the child itself says when it has had enough.
PATIENCE_S = 900.0
MOST_BODY_BYTES = 16 * 2**20


class Bridge(ThreadingHTTPServer):
    """One host's, in this process, until it ends. Passes on what bears its secret, and nothing else."""

    daemon_threads = True

    def __init__(self, row: Host) -> None:
        super().__init__(("127.0.0.1", 0), Passing)
        self.access = Access.bearer(secrets.token_urlsafe(32))
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.client = open_client(
            allow_private=False, timeout_s=PATIENCE_S, base_url=row.url, transport=Relay(row, PATIENCE_S)
        )
        threading.Thread(target=self.serve_forever, name=f"bridge-{row.pk}", daemon=True).start()


class Passing(BaseHTTPRequestHandler):
    server: Bridge

    def _pass(self) -> None:
        given = self.headers.get("Authorization", "")
        if not secrets.compare_digest(given.encode(), self.server.access.value.encode()):
            self._say(403, b"")
            return
        size = int(self.headers.get("Content-Length") or 0)
        if size > MOST_BODY_BYTES:
            self._say(413, b'{"error": "too large"}')
            return
        try:
            answer = self.server.client.request(self.command, self.path, content=self.rfile.read(size))
            self._say(answer.status_code, answer.content, answer.headers.get("Content-Type", ""))
        except httpx2.HTTPError:
            self._say(503, b'{"error": "the agent beside the host has no answer"}')
        finally:
            connections.close_all()

    do_GET = do_POST = do_HEAD = do_DELETE = _pass

    def _say(self, status: int, body: bytes, content_type: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_said: object) -> None:
        """What passes is the client's."""


_open: dict[int, Bridge] = {}
_lock = threading.Lock()


def bridge_to(row: Host) -> Bridge:
    with _lock:
        if row.pk not in _open:
            _open[row.pk] = Bridge(row)
        return _open[row.pk]
