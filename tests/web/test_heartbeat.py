"""The sign of life: given while all is well, withheld when something is late, and never in the way of a tick."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from django.utils.timezone import now

from agency.health import heartbeat
from agency.health.heartbeat import EVERY, beat
from tests import factories

pytestmark = pytest.mark.django_db


class Monitor(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.heard.append(self.path)  # type: ignore[attr-defined]
        self.server.gate.wait(20)  # type: ignore[attr-defined]
        self.send_response(self.server.status)  # type: ignore[attr-defined]
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_args: Any) -> None:
        return


@pytest.fixture
def monitor(settings: Any) -> Iterator[Any]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Monitor)
    server.heard, server.status, server.gate = [], 200, threading.Event()  # type: ignore[attr-defined]
    server.gate.set()  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    settings.HEARTBEAT_URL = f"http://127.0.0.1:{server.server_port}/ping/secret"
    settings.ALLOW_PRIVATE_HOSTS = True
    yield server
    server.gate.set()  # type: ignore[attr-defined]
    server.shutdown()
    server.server_close()


def test_the_monitor_is_called_while_all_is_well(monitor: Any) -> None:
    assert beat() == ""
    assert monitor.heard == ["/ping/secret"]


def test_what_is_late_withholds_it(monitor: Any) -> None:
    run = factories.make_run()
    with factories.inside(run):
        type(run).objects.filter(pk=run.pk).update(due_at=now() - timedelta(minutes=10))

    assert beat().startswith("ticks: ")
    assert monitor.heard == []


@pytest.mark.parametrize("status", [302, 404, 500])
def test_a_monitor_that_refuses_is_told_without_its_address(monitor: Any, status: int) -> None:
    monitor.status = status

    assert beat() == "the monitor did not take it (HTTPStatusError)"


def test_a_metadata_address_is_never_called(settings: Any) -> None:
    settings.HEARTBEAT_URL = "http://169.254.169.254/latest"
    settings.ALLOW_PRIVATE_HOSTS = True

    assert beat() == "the monitor did not take it (OutboundRefused)"


@pytest.mark.parametrize("url", ["no address", "http://[", "ftp://127.0.0.1/x"])
def test_an_address_that_is_none_is_told_and_stops_nothing(settings: Any, url: str) -> None:
    settings.HEARTBEAT_URL = url

    assert beat().startswith("the monitor did not take it")


def test_it_beats_once_a_minute_and_never_twice_at_a_time(
    monitor: Any, monkeypatch: pytest.MonkeyPatch, clock: Any
) -> None:
    monkeypatch.setattr(heartbeat, "READY", {})  # A thread of its own would look at another test's database.
    monitor.gate.clear()
    heart = heartbeat.heartbeat()

    begun = [heart.begin_if_due(clock.now), heart.begin_if_due(clock.advance(seconds=59))]
    hung = heart.begin_if_due(clock.advance(minutes=5))
    monitor.gate.set()
    heart.thread.join(10)
    again = heart.begin_if_due(clock.now)
    heart.thread.join(10)

    assert (begun, hung, again) == ([True, False], False, True)
    assert len(monitor.heard) == 2 and timedelta(minutes=1) == EVERY


def test_nobody_is_called_where_no_address_is_set(monitor: Any, settings: Any, clock: Any) -> None:
    settings.HEARTBEAT_URL = ""
    heart = heartbeat.heartbeat()
    heart.begin_if_due(clock.now)
    heart.thread.join(10)

    assert monitor.heard == []
