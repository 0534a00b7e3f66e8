"""The door's client against real servers: pinned addresses, names verified, ends and sizes."""

from __future__ import annotations

import socket
import time
from http.server import BaseHTTPRequestHandler
from typing import Any

import httpx2
import pytest

from pipelines.outbound import Access, OutboundRefused
from pipelines.outbound import client as door
from pipelines.outbound.client import AnswerTooLarge, open_client, reason_of
from tests.unit.outbound.answering import says, server, server_tls
from tests.unit.outbound.certificates import Authority

LOOPBACK = "127.0.0.1"


class Resolver:
    """Answers a list of addresses, one look-up after the other; the last one stays."""

    def __init__(self, *addresses: str) -> None:
        self.addresses, self.asked = list(addresses), list[str]()

    def __call__(self, name: str, port: int, **_: Any) -> list[Any]:
        self.asked.append(name)
        address = self.addresses.pop(0) if len(self.addresses) > 1 else self.addresses[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]


def test_the_address_that_was_judged_is_the_one_that_is_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that is public at the first look-up and private at the second one gets no second one."""
    connected: list[str] = []

    def note(address: tuple[str, int], *_: Any, **__: Any) -> socket.socket:
        connected.append(address[0])
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "create_connection", note)
    rebinding = Resolver("8.8.8.8", LOOPBACK)
    with open_client(allow_private=False, timeout_s=2, resolve=rebinding) as client:
        with pytest.raises(httpx2.ConnectError):
            client.get("http://turns.example/")

    assert connected == ["8.8.8.8"] and rebinding.asked == ["turns.example"]


def test_a_name_that_turns_private_later_is_refused_at_the_next_connection() -> None:
    with server(says(b"here", Connection="close")) as port:
        turning = Resolver(LOOPBACK, "169.254.169.254")
        with open_client(allow_private=True, timeout_s=2, resolve=turning) as client:
            assert client.get(f"http://turns.example:{port}/").text == "here"
            with pytest.raises(OutboundRefused, match="metadata"):
                client.get(f"http://turns.example:{port}/")


@pytest.mark.parametrize("host", ["127.0.0.1", "[::ffff:127.0.0.1]", "2130706433", "localhost"])
def test_the_loopback_is_closed_without_leave_however_it_is_written(host: str) -> None:
    with server(says(b"secret")) as port, open_client(allow_private=False, timeout_s=2) as client:
        with pytest.raises(OutboundRefused):
            client.get(f"http://{host}:{port}/")


def test_a_redirect_is_never_followed() -> None:
    with server(says(b"", 302, Location="http://169.254.169.254/latest/meta-data/")) as port:
        with open_client(allow_private=True, timeout_s=2) as client:
            assert client.get(f"http://127.0.0.1:{port}/").status_code == 302


def test_a_name_is_verified_though_the_address_is_pinned() -> None:
    authority = Authority()
    pair = authority.issue("models.example")
    access = Access(authority=authority.pem)
    with server(says(b"here"), server_tls(pair)) as port:
        with open_client(allow_private=True, timeout_s=5, access=access, resolve=Resolver(LOOPBACK)) as client:
            assert client.get(f"https://models.example:{port}/").text == "here"
            with pytest.raises(httpx2.ConnectError) as caught:
                client.get(f"https://other.example:{port}/")
    assert reason_of(caught.value) == "its certificate is not valid for this name"


def test_an_unknown_authority_is_not_trusted() -> None:
    with server(says(b"here"), server_tls(Authority().issue("models.example"))) as port:
        with open_client(allow_private=True, timeout_s=5, resolve=Resolver(LOOPBACK)) as client:
            with pytest.raises(httpx2.ConnectError):
                client.get(f"https://models.example:{port}/")


def test_a_client_certificate_opens_a_door_that_is_closed_without_it() -> None:
    authority = Authority()
    ours = authority.issue("retune.example")
    tls = server_tls(authority.issue("models.example"), clients=authority)
    known = Access(certificate=ours.certificate, key=ours.key, authority=authority.pem).checked()
    with server(says(b"welcome"), tls) as port:
        url = f"https://models.example:{port}/"
        with open_client(allow_private=True, timeout_s=5, access=known, resolve=Resolver(LOOPBACK)) as client:
            assert client.get(url).text == "welcome"
        stranger = Access(authority=authority.pem)
        with open_client(allow_private=True, timeout_s=5, access=stranger, resolve=Resolver(LOOPBACK)) as client:
            with pytest.raises(httpx2.HTTPError):
                client.get(url)


def test_a_server_that_sends_a_byte_now_and_then_is_left_in_time() -> None:
    def trickle(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        for _ in range(100):
            handler.wfile.write(b".")
            handler.wfile.flush()
            time.sleep(0.05)

    with server(trickle) as port, open_client(allow_private=True, timeout_s=0.4) as client:
        started = time.monotonic()
        with pytest.raises(httpx2.TimeoutException):
            client.get(f"http://127.0.0.1:{port}/")
    assert time.monotonic() - started < 2


def test_an_exchange_may_be_given_more_time_than_the_others() -> None:
    def late(handler: BaseHTTPRequestHandler) -> None:
        time.sleep(0.5)
        says(b"late")(handler)

    with server(late) as port, open_client(allow_private=True, timeout_s=0.2) as client:
        url, patience = f"http://127.0.0.1:{port}/", {"timeout": 5, "extensions": {"deadline_s": 5.0}}
        assert client.get(url, **patience).text == "late"
        with pytest.raises(httpx2.TimeoutException):
            client.get(url)


def test_an_answer_without_an_end_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "LONGEST_ANSWER_BYTES", 10_000)

    def flood(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        for _ in range(1_000):
            handler.wfile.write(b"x" * 10_000)

    with server(flood) as port, open_client(allow_private=True, timeout_s=5) as client:
        with pytest.raises(AnswerTooLarge):
            client.get(f"http://127.0.0.1:{port}/")


def test_an_answer_that_swells_when_it_is_unpacked_is_not_unpacked() -> None:
    with server(says(b"\x1f\x8b", Content_Encoding="gzip")) as port:
        with open_client(allow_private=True, timeout_s=5) as client:
            with pytest.raises(httpx2.ReadError, match="compressed"):
                client.get(f"http://127.0.0.1:{port}/")


def test_a_proxy_of_the_machine_sees_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    with server(says(b"straight")) as port, open_client(allow_private=True, timeout_s=2) as client:
        assert client.get(f"http://127.0.0.1:{port}/").text == "straight"


def test_a_name_with_a_dead_and_a_living_address_is_reached() -> None:
    def both(name: str, port: int, **_: Any) -> list[Any]:
        return [(socket.AF_INET, 1, 6, "", (address, port)) for address in ("127.0.0.2", LOOPBACK)]

    with server(says(b"second")) as port, open_client(allow_private=True, timeout_s=3, resolve=both) as client:
        assert client.get(f"http://two.example:{port}/").text == "second"


def test_what_went_wrong_is_told_coarsely() -> None:
    with open_client(allow_private=True, timeout_s=1) as client:
        with pytest.raises(httpx2.ConnectError) as refused:
            client.get("http://127.0.0.1:9/")
        with pytest.raises(httpx2.ConnectError) as unknown:
            client.get("http://nowhere.invalid/")
    assert reason_of(refused.value) == "nobody takes the connection"
    assert reason_of(unknown.value) == "its name does not resolve"
