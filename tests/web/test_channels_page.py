"""Channels on their pages: added with a secret that is shown once, tried, switched, removed; and whose they are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from django.test import Client as Browser

from pipelines.models import Delivery
from tenants import scope
from tenants.models import AuditEvent, Channel, Client, Role
from tests import factories
from tests.unit.outbound.answering import server


@pytest.fixture
def hook() -> Iterator[Any]:
    class Server:
        heard: list[bytes] = []
        status = 200

        def __call__(self, handler: BaseHTTPRequestHandler) -> None:
            self.heard.append(handler.rfile.read(int(handler.headers["Content-Length"])))
            handler.send_response(self.status)
            handler.send_header("Content-Length", "0")
            handler.end_headers()

    made = Server()
    made.heard = []
    with server(made) as port:
        made.url = f"http://127.0.0.1:{port}/services/T000/secret-part"  # type: ignore[attr-defined]
        yield made


def add(browser: Browser, hook: Any, **more: Any) -> Any:
    given = {"name": "ops", "kind": "webhook", "url": hook.url, "client": "", "kinds": ["held"]} | more
    return browser.post("/channels/", given)


def one(client: Client) -> Channel:
    with scope.agency_scope(client.agency_id):
        return Channel.objects.get()


def test_a_new_secret_is_shown_once_and_the_address_never(owner: Browser, acorn: Client, hook: Any) -> None:
    answer = add(owner, hook, client="acorn")

    assert answer.status_code == 303
    row = one(acorn)
    first, second = (owner.get(answer["Location"]).content.decode() for _ in range(2))
    assert re.search(r"whsec_[A-Za-z0-9+/=]{30,}", first) and "whsec_" not in second
    assert "secret-part" not in first + owner.get("/channels/").content.decode()
    assert (row.client_id, row.host, row.kinds) == (acorn.pk, "127.0.0.1", ["held"])
    with scope.agency_scope(acorn.agency_id):
        audits = str(list(AuditEvent.objects.filter(verb="channel.add").values_list("detail", flat=True)))
    assert "secret" not in audits


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"url": "ftp://hook.example"}, "http"),
        ({"url": ""}, "Enter the address"),
        ({"url": "http://169.254.169.254/latest"}, "metadata"),
        ({"kind": "pagerduty"}, "integration key"),
        ({"secret": "whsec_short"}, "24 to 64 bytes"),
        ({"name": "No spaces please"}, "valid value"),
        ({"kinds": ["gossip"]}, "gossip"),
    ],
)
def test_what_cannot_work_is_refused_with_a_sentence_and_keeps_what_was_typed(
    owner: Browser, hook: Any, given: dict[str, Any], said: str
) -> None:
    answer = add(owner, hook, **given)

    assert answer.status_code == 422 and said in answer.content.decode()
    assert 'value="ops"' in answer.content.decode() or "name" in given


def test_a_test_tells_what_the_server_answered(owner: Browser, acorn: Client, hook: Any) -> None:
    add(owner, hook, kind="slack")
    page = f"/channels/{one(acorn).pk}/"

    taken = owner.post(f"{page}test/", follow=True).content.decode()
    hook.status = 404
    refused = owner.post(f"{page}test/", follow=True).content.decode()

    assert "the server answered 200" in taken and "The server answered 404" in refused
    assert b"asked for it" in hook.heard[0]


def test_kinds_are_changed_and_a_stale_page_changes_nothing(owner: Browser, acorn: Client, hook: Any) -> None:
    add(owner, hook)
    page = f"/channels/{one(acorn).pk}/"

    assert owner.post(page, {"kinds": ["failed", "drift"], "revision": 0}).status_code == 303
    stale = owner.post(page, {"kinds": ["held"], "revision": 0})

    assert stale.status_code == 422 and "drift, failed" in stale.content.decode()
    assert one(acorn).kinds == ["drift", "failed"]


def test_it_is_switched_off_and_on_rotated_and_removed(owner: Browser, acorn: Client, hook: Any) -> None:
    add(owner, hook)
    page = f"/channels/{one(acorn).pk}/"

    owner.post(f"{page}off/")
    assert (one(acorn).is_on, one(acorn).disabled_by) == (False, "owner@north.example")
    owner.post(f"{page}on/")
    assert one(acorn).is_on
    assert "A new secret signs from now on" in owner.post(f"{page}rotate/", follow=True).content.decode()
    assert owner.post(f"{page}shout/").status_code == 404
    owner.post(f"{page}remove/")
    with scope.agency_scope(acorn.agency_id):
        assert not Channel.objects.exists() and not Delivery.objects.exists()


def test_a_viewer_reads_and_a_stranger_sees_nothing(
    owner: Browser, viewer: Browser, stranger: Browser, acorn: Client, hook: Any
) -> None:
    add(owner, hook)
    page = f"/channels/{one(acorn).pk}/"

    assert viewer.get(page).status_code == 200 and f"{page}test/" not in viewer.get(page).content.decode()
    assert viewer.post(f"{page}test/").status_code == 404
    assert stranger.get(page).status_code == 404 and "ops" not in stranger.get("/channels/").content.decode()


def limited(client: Client, role: Role, email: str) -> Browser:
    """Signed in as staff of this client alone."""
    browser = Browser()
    browser.force_login(factories.make_member(client.agency, role, client, email))
    return browser


def test_staff_of_one_client_keep_its_channels_and_see_no_others(
    owner: Browser, acorn: Client, birch: Client, hook: Any
) -> None:
    add(owner, hook, name="all")
    add(owner, hook, name="birch-own", client="birch")
    mine = limited(acorn, Role.ENGINEER, "acorn-engineer@north.example")

    empty = mine.get("/channels/")
    made = add(mine, hook, name="acorn-own", client="acorn")
    page = mine.get("/channels/")

    assert "birch-own" not in empty.text and "of all clients" not in empty.text and "Birch" not in empty.text
    assert made.status_code == 303 and "acorn-own" in page.text
    with scope.agency_scope(acorn.agency_id):
        pks = dict(Channel.objects.values_list("name", "pk"))
        assert Channel.objects.get(name="acorn-own").client_id == acorn.pk
    assert mine.post(f"/channels/{pks['acorn-own']}/test/").status_code == 303 and len(hook.heard) == 1
    for name in ("all", "birch-own"):
        assert mine.get(f"/channels/{pks[name]}/").status_code == 404
        assert mine.post(f"/channels/{pks[name]}/remove/").status_code == 404


@pytest.mark.parametrize("client", ["", "birch"])
def test_staff_of_one_client_add_no_channel_of_others(acorn: Client, birch: Client, hook: Any, client: str) -> None:
    mine = limited(acorn, Role.ENGINEER, "acorn-engineer@north.example")

    answer = add(mine, hook, client=client)

    assert answer.status_code == 422 and answer.context["form"].errors["client"]


def test_a_viewer_of_one_client_changes_no_channel(owner: Browser, acorn: Client, hook: Any) -> None:
    add(owner, hook, client="acorn")
    looking = limited(acorn, Role.VIEWER, "acorn-viewer@north.example")
    row = one(acorn)

    assert "ops" in looking.get("/channels/").text
    assert f"/channels/{row.pk}/test/" not in looking.get(f"/channels/{row.pk}/").text
    assert looking.post(f"/channels/{row.pk}/off/").status_code == 404
    assert add(looking, hook, name="more", client="acorn").status_code == 404
