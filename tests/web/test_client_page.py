"""A client's page: hosts, keys, people, the ledger."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client as Browser
from django.urls import reverse

from agency.portal import probe
from tenants.models import ApiKey, AuditEvent, Client, Host, Invitation
from tenants.models.api_key import digest_of
from tenants.scope import agency_scope
from tests import factories

Answering = Callable[[bytes], str]


@pytest.fixture
def answering() -> Iterator[Answering]:
    """Starts a web server that answers everything with one body; gives its address."""
    started: list[HTTPServer] = []

    def start(body: bytes) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_said: Any) -> None: ...

        started.append(HTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=started[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{started[-1].server_port}"

    yield start
    for server in started:
        server.shutdown()
        server.server_close()


def test_a_keys_text_is_shown_once_and_kept_nowhere(owner: Browser, acorn: Client) -> None:
    response = owner.post(reverse("issue-key", args=["acorn"]), {"name": "shop", "verbs": ["examples"]}, follow=True)

    text = re.search(r"rk_[0-9a-f]{8}_[\w-]+", response.text)
    assert text is not None
    with factories.inside(acorn):
        assert ApiKey.objects.get().digest == digest_of(text[0])
    assert text[0] not in owner.get(reverse("client", args=["acorn"])).text


def test_a_key_without_a_verb_is_refused_beside_the_field(owner: Browser, acorn: Client) -> None:
    response = owner.post(reverse("issue-key", args=["acorn"]), {"name": "shop"})

    assert response.status_code == 422
    assert "verbs" in response.context["key_form"].errors


def test_a_revoked_key_stays_listed_as_revoked(owner: Browser, acorn: Client) -> None:
    factories.make_key(acorn)
    with factories.inside(acorn):
        prefix = ApiKey.objects.get().prefix

    response = owner.post(reverse("revoke-key", args=["acorn", prefix]), follow=True)

    assert "revoked" in response.text
    assert owner.post(reverse("revoke-key", args=["acorn", prefix])).status_code == 404


def add_host(browser: Browser, url: str, **more: str) -> HttpResponse:
    return browser.post(reverse("add-host", args=["acorn"]), {"name": "shop", "url": url} | more, follow=True)


def test_a_host_that_does_not_answer_is_refused_on_the_form_which_keeps_its_input(
    engineer: Browser, acorn: Client
) -> None:
    response = add_host(engineer, "http://127.0.0.1:9/")

    assert response.status_code == 422
    assert "Asked http://127.0.0.1:9/api/version: nobody takes the connection." in response.text
    assert 'value="shop"' in response.text and 'value="http://127.0.0.1:9/"' in response.text
    with factories.inside(acorn):
        assert not Host.objects.exists()


def test_a_silent_host_can_be_added_on_purpose_and_is_shown_as_not_answering(engineer: Browser, acorn: Client) -> None:
    response = add_host(engineer, "http://127.0.0.1:9", anyway="on")

    assert "Host shop does not answer" in response.text
    assert "does not answer" in response.text.split('id="hosts"')[1]
    with factories.inside(acorn):
        assert Host.objects.get().facts["error"]


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b'{"version": "0.5.7"}', "0.21"),
        (b'{"hello": "world"}', "does not speak as an Ollama host does"),
        (b"<html>", "does not speak as an Ollama host does"),
    ],
)
def test_a_host_that_can_never_work_is_refused_even_on_purpose(
    engineer: Browser, acorn: Client, answering: Answering, body: bytes, sentence: str
) -> None:
    response = add_host(engineer, answering(body), anyway="on")

    assert response.status_code == 422 and sentence in response.text
    with factories.inside(acorn):
        assert not Host.objects.exists()


def test_a_host_that_hangs_is_given_up_in_time(
    engineer: Browser, acorn: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # Takes the connection and says nothing.
        response = add_host(engineer, f"http://127.0.0.1:{silent.getsockname()[1]}")

    assert response.status_code == 422 and "no answer within 0.2 seconds" in response.text


def test_a_private_address_is_refused_where_the_installation_forbids_it(
    engineer: Browser, acorn: Client, settings: Any
) -> None:
    settings.ALLOW_PRIVATE_HOSTS = False

    response = add_host(engineer, "http://127.0.0.1:9", anyway="on")

    assert response.status_code == 422 and "not a public address" in response.text


def test_two_hosts_cannot_have_one_name(engineer: Browser, acorn: Client) -> None:
    factories.make_host(acorn)

    response = engineer.post(reverse("add-host", args=["acorn"]), {"name": "shop", "url": "http://127.0.0.1:9"})

    assert response.status_code == 422 and "already" in response.text


def test_a_reader_is_invited_once_from_the_clients_page(owner: Browser, acorn: Client) -> None:
    given = {"email": "people@acorn.example", "role": "reader"}

    owner.post(reverse("add-member", args=["acorn"]), given)

    with agency_scope(acorn.agency_id):
        made = Invitation.objects.get()
        assert (made.email, made.role, made.client_id) == ("people@acorn.example", "reader", acorn.pk)


def test_a_member_is_not_invited_again(owner: Browser, reader: Browser, acorn: Client) -> None:
    given = {"email": "reader@north.example", "role": "reader"}

    again = owner.post(reverse("add-member", args=["acorn"]), given)

    assert again.status_code == 422 and "already" in again.text


def test_a_viewer_is_offered_no_form(viewer: Browser, acorn: Client) -> None:
    factories.make_key(acorn)

    text = viewer.get(reverse("client", args=["acorn"])).text

    for name in ("add-host", "issue-key", "add-member"):
        assert reverse(name, args=["acorn"]) not in text
    assert "Revoke" not in text


def test_the_ledger_shows_who_did_what(owner: Browser, acorn: Client) -> None:
    factories.make_pipeline(acorn)
    with factories.inside(acorn):
        newest = AuditEvent.objects.filter(client=acorn).order_by("-seq").first()

    response = owner.get(reverse("audit", args=["acorn"]))

    assert newest is not None and newest.verb in response.text
    assert response.context["page"].object_list[0] == newest
