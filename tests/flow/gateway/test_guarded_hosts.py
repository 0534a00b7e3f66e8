"""The gateway before hosts behind a proxy: it shows what was sealed for the host, and nothing else gets in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler

import httpx2
import pytest
from django.db import connection

from pipelines.models import Exchange
from pipelines.outbound import Access
from pipelines.reach import open_row
from tenants.crypto import sealing
from tenants.models import Host
from tests import factories
from tests.flow.gateway.conftest import CHAT, Ground, Open
from tests.flow.gateway.double import wait_for
from tests.flow.gateway.test_shares import place_on
from tests.unit.outbound.answering import server, server_tls
from tests.unit.outbound.certificates import Authority

SECRET = "s3cret-of-this-host"
KINDS = {
    "header": Access("X-Proxy-Key", SECRET),
    "bearer": Access.bearer(SECRET),
    "basic": Access.basic("retune", SECRET),
}


@dataclass
class Proxy:
    """Lets in whoever brings `wanted`, and hands the request to the host behind it."""

    behind: str
    wanted: dict[str, str]
    refusal: int = 401
    turned_away: int = 0
    let_in: list[dict[str, str]] = field(default_factory=list)

    def __call__(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        if any(handler.headers.get(name) != value for name, value in self.wanted.items()):
            self.turned_away += 1
            return self._say(handler, self.refusal, b"who are you?")
        self.let_in.append(dict(handler.headers))
        answer = httpx2.request(handler.command, self.behind + handler.path, content=body, timeout=10)
        return self._say(handler, answer.status_code, answer.content)

    def _say(self, handler: BaseHTTPRequestHandler, status: int, body: bytes) -> None:
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)


def seal(ground: Ground, url: str, access: Access) -> Host:
    with factories.inside(ground.client):
        row = Host.objects.get(name="shop")
        row.url, row.sealed = url, sealing.seal(row.place, access.fields())
        row.save()
    return row


@contextmanager
def behind_a_header(ground: Ground, access: Access, refusal: int = 401) -> Iterator[Proxy]:
    proxy = Proxy(ground.double.url, access.headers(), refusal)
    with server(proxy) as port:
        seal(ground, f"http://127.0.0.1:{port}", access)
        yield proxy


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_what_is_sealed_opens_the_proxy_and_the_callers_own_key_stays_outside(
    ground: Ground, open_door: Open, kind: str
) -> None:
    with behind_a_header(ground, KINDS[kind]) as proxy:
        door = open_door()
        wait_for(lambda: door.chat().status_code == 200)
        streamed = door.chat(stream=True)
        openai = door.post("/v1/chat/completions", CHAT)
    assert [json.loads(line) for line in streamed.text.splitlines()][-1]["done"] is True
    assert openai.status_code == 200
    assert proxy.turned_away == 0 and len(proxy.let_in) >= 3
    assert all(ground.key not in value for headers in proxy.let_in for value in headers.values())


@pytest.mark.parametrize("status", [401, 403, 407])
def test_a_host_that_shuts_us_out_is_no_fault_of_the_callers_key(ground: Ground, open_door: Open, status: int) -> None:
    with behind_a_header(ground, Access.bearer("what the proxy wants"), status) as proxy:
        show_the_wrong_secret(ground)
        door = open_door()
        wait_for(lambda: proxy.turned_away > 0 or door.chat().status_code >= 400)
        native, openai = door.chat(), door.post("/v1/chat/completions", CHAT)
    assert (native.status_code, native.json()) == (502, {"error": "the host does not let the gateway in"})
    assert (openai.status_code, openai.json()["error"]["type"]) == (502, "api_error")
    assert proxy.let_in == []


def test_another_host_answers_for_one_that_shuts_us_out_and_the_meter_counts_its_errors(
    ground: Ground, open_door: Open
) -> None:
    place_on(ground, "spare", ground.double.url)
    with behind_a_header(ground, Access.bearer("what the proxy wants")) as proxy:
        show_the_wrong_secret(ground)
        door = open_door()
        assert {door.chat().status_code for _ in range(4)} | {door.chat(stream=True).status_code} == {200}
        assert proxy.turned_away > 0
        wait_for(lambda: door.gateway.meter.pending == 0)
    connection.close()
    with factories.inside(ground.client):
        rows = set(Exchange.objects.values_list("host", "is_error", "status"))
    assert rows == {("shop", True, 502), ("spare", False, 200)}


def show_the_wrong_secret(ground: Ground) -> None:
    with factories.inside(ground.client):
        url = Host.objects.get(name="shop").url
    seal(ground, url, Access.bearer(SECRET))


def test_a_client_certificate_opens_a_proxy_that_demands_one(ground: Ground, open_door: Open) -> None:
    ours, clients = Authority(), Authority()
    pair = clients.issue("retune.example")
    proxy = Proxy(ground.double.url, KINDS["bearer"].headers())
    tls = server_tls(ours.issue("localhost"), clients)
    with server(proxy, tls) as port:
        url = f"https://localhost:{port}"
        with_both = Access.bearer(SECRET, certificate=pair.certificate, key=pair.key, authority=ours.pem)
        row = seal(ground, url, with_both)
        door = open_door()
        wait_for(lambda: door.chat().status_code == 200)
        assert door.chat(stream=True).status_code == 200
        with factories.inside(ground.client), pytest.raises(Exception, match=r"does not|refused"):
            open_row(seal(ground, url, Access.bearer(SECRET, authority=ours.pem)), 5.0).probe()
        other = open_door("other")
        wait_for(lambda: other.gateway.status()["serial"] is not None)
        assert other.chat().status_code == 502, "without the certificate nobody is spoken to"
    assert row.sealed and SECRET not in row.sealed
