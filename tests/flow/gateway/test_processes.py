"""The two ways a gateway runs: beside the pages in one app, and alone as a process."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from django.db import connection
from django.test import Client as Browser

from agency.api.bodies import ANYBODYS_BYTES
from pipelines.models import Exchange
from tenants.models import Role
from tests import factories
from tests.flow.gateway.conftest import CHAT, Ground
from tests.flow.gateway.double import asgi_server, wait_for


def test_beside_the_pages_only_its_own_paths_are_the_gateways(ground: Ground) -> None:
    from agency.asgi import application

    with asgi_server(application) as url:
        headers = {"Authorization": f"Bearer {ground.key}"}
        answer = httpx2.post(url + "/api/chat", json=CHAT | {"stream": False}, headers=headers)
        assert answer.json()["message"]["content"] == "billing"
        assert httpx2.post(url + "/api/pull", json={}, headers=headers).json() == {"error": "404 page not found"}
        page = httpx2.get(url + "/")
        assert page.status_code in (200, 302) and "content-security-policy" in page.headers


PIECE = bytes(2**16)


def put_to_pages(path: str, pieces: int, **headers: str) -> tuple[int, int]:
    """(status, bytes that were taken) of a body in so many pieces, whose length nobody is told."""
    from agency.asgi import application

    taken, said = 0, []

    async def receive() -> dict[str, Any]:
        nonlocal taken
        if taken == pieces * len(PIECE):
            await asyncio.Event().wait()  # The caller waits for the answer.
        taken += len(PIECE)
        return {"type": "http.request", "body": PIECE, "more_body": taken < pieces * len(PIECE)}

    async def send(message: MutableMapping[str, Any]) -> None:
        said.append(message)

    sent = [(b"host", b"localhost"), (b"transfer-encoding", b"chunked")]
    sent += [(name.encode(), value.encode()) for name, value in headers.items()]
    asked = {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": sent, "scheme": "http"}
    asyncio.run(application(asked, receive, send))
    return said[0]["status"], taken


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer rk_made_up"}, {"cookie": "sessionid=madeup"}])
def test_a_stranger_writes_a_few_megabytes_to_the_disk_and_no_more(ground: Ground, headers: dict[str, str]) -> None:
    status, taken = put_to_pages("/rest/v1/pipelines/support/examples", 10**9, **headers)
    assert status == 413 and ANYBODYS_BYTES < taken <= ANYBODYS_BYTES + len(PIECE)


def test_whom_the_installation_knows_may_send_a_whole_model_and_nobody_more(ground: Ground, settings: Any) -> None:
    browser = Browser()
    browser.force_login(factories.make_member(ground.client.agency, Role.OWNER))
    settings.BUNDLE_BYTES = 8 * 2**20
    own = settings.SESSION_COOKIE_NAME
    for headers in ({"authorization": f"Bearer {ground.key}"}, {"cookie": f"{own}={browser.cookies[own].value}"}):
        status, taken = put_to_pages("/nowhere", 100, **headers)
        assert status != 413 and taken == 100 * len(PIECE)
        status, taken = put_to_pages("/nowhere", 10**9, **headers)
        assert status == 413 and taken < 10 * 2**20


@contextmanager
def gateway_process(folder: Path, **more: str) -> Iterator[tuple[str, dict[str, str]]]:
    """A gateway alone; SIGTERM must end it cleanly."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = os.environ | {
        "RETUNE_VAR": str(folder),
        "DATABASE_URL": f"sqlite://{connection.settings_dict['NAME']}",
        **more,
    }
    process = subprocess.Popen([sys.executable, "-m", "agency.gateway", "--port", str(port)], env=environment)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for(lambda: is_open(port), within_s=60)
        yield url, environment
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
    assert process.returncode in (0, -signal.SIGTERM)


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.sqlite_only("starts a gateway of its own on the tests' SQLite file")
def test_a_gateway_alone_serves_obeys_an_order_and_writes_its_last_records_at_its_end(
    ground: Ground, tmp_path: Path
) -> None:
    headers = {"Authorization": f"Bearer {ground.key}"}

    def version(url: str) -> str:
        return httpx2.post(url + "/api/chat", json=CHAT, headers=headers, timeout=10).headers.get(
            "x-retune-version", ""
        )

    with gateway_process(tmp_path) as (url, environment):
        assert version(url) == "v1"
        assert httpx2.get(url + "/", headers=headers).status_code == 404
        command = [sys.executable, "-m", "agency.gateway", "--flip", "acorn/support:v2"]
        told = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert told.returncode == 0 and told.stdout.endswith("flipped\n")
        assert version(url) == "v2"
    with factories.inside(ground.client):
        assert Exchange.objects.count() == 2
    again = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert again.returncode == 1


@pytest.mark.sqlite_only("starts gateways of its own on the tests' SQLite file")
@pytest.mark.parametrize("name", ["", "west"])
def test_a_gateway_alone_is_called_by_its_name_else_by_its_port(ground: Ground, tmp_path: Path, name: str) -> None:
    with gateway_process(tmp_path, RETUNE_GATEWAY_NAME=name) as (url, _environment):
        called = name or url.rpartition(":")[2]
        assert wait_for((tmp_path / f"gateway-{called}.sock").exists, within_s=30) < 31
        assert wait_for((tmp_path / "routes" / f"{called}.json").exists, within_s=30) < 31
