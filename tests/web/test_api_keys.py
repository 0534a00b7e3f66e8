"""Who may call the API: keys, their verbs, their client; never a cookie."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client as Browser
from django.utils import timezone

from agency.api import api
from agency.api.auth import Key
from agency.machines.auth import AgentToken, Token
from tenants import actions, scope
from tenants.access import KEY_VERBS
from tenants.models import ApiKey, Client
from tests import factories

URL = "/rest/v1/pipelines"


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


def refusal(response: Any) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


@pytest.mark.parametrize("header", [{}, bearer("rk_00000000_nonsense"), {"Authorization": "Basic cms6"}, bearer("")])
def test_without_a_known_key_everything_is_401(anonymous: Browser, db: None, header: dict[str, str]) -> None:
    response = anonymous.get(URL, headers=header)

    assert refusal(response) == (401, "unauthorised")
    assert response["WWW-Authenticate"] == "Bearer"


def test_a_login_opens_nothing_here(owner: Browser, acorn: Client) -> None:
    assert refusal(owner.get(URL)) == (401, "unauthorised")


def test_a_revoked_key_is_unknown_at_once(anonymous: Browser, acorn: Client) -> None:
    text = factories.make_key(acorn)
    assert anonymous.get(URL, headers=bearer(text)).status_code == 200

    with factories.inside(acorn):
        actions.revoke_key(ApiKey.objects.get(), "tests", timezone.now())

    assert refusal(anonymous.get(URL, headers=bearer(text))) == (401, "unauthorised")


def test_a_key_without_the_verb_is_told_which_one_it_needs(anonymous: Browser, acorn: Client) -> None:
    factories.make_pipeline(acorn)
    key = bearer(factories.make_key(acorn, "examples"))

    response = anonymous.post(f"{URL}/support/runs", {}, content_type="application/json", headers=key)

    assert refusal(response) == (403, "forbidden")
    assert "runs" in response.json()["error"]["message"]


@pytest.mark.parametrize("other", ["birch", "cedar"])
def test_another_clients_pipeline_does_not_exist(
    anonymous: Browser, acorn: Client, other: str, request: pytest.FixtureRequest
) -> None:
    theirs: Client = request.getfixturevalue(other)
    factories.make_run(factories.make_pipeline(theirs, "secret"))
    key = bearer(factories.make_key(acorn))

    listed = anonymous.get(URL, headers=key)
    paths = ("", "/runs", "/runs/1", "/versions", "/versions/1", "/versions/1/version.yaml", "/batches/1")

    assert listed.json() == []
    for path in paths:
        assert refusal(anonymous.get(f"{URL}/secret{path}", headers=key)) == (404, "not_found"), path
    assert refusal(anonymous.get("/rest/v1/rollbacks?pipeline=secret", headers=key)) == (404, "not_found")


def test_a_session_beside_the_key_neither_widens_nor_breaks_its_scope(stranger: Browser, acorn: Client) -> None:
    factories.make_pipeline(acorn)
    key = bearer(factories.make_key(acorn))

    assert [row["slug"] for row in stranger.get(URL, headers=key).json()] == ["support"]
    assert scope.current() is None


def test_the_last_use_is_noted_once_a_minute(anonymous: Browser, acorn: Client) -> None:
    key = bearer(factories.make_key(acorn))
    with factories.inside(acorn):
        row = ApiKey.objects.get()
        anonymous.get(URL, headers=key)
        row.refresh_from_db()
        first = row.last_used_at
        anonymous.get(URL, headers=key)
        row.refresh_from_db()
        again = row.last_used_at
        ApiKey.objects.update(last_used_at=timezone.now() - timedelta(minutes=2))
        anonymous.get(URL, headers=key)
        row.refresh_from_db()

    assert first is not None
    assert again == first
    assert row.last_used_at is not None and row.last_used_at > first


def test_every_operation_but_its_own_page_needs_a_key() -> None:
    needed = {operation.view_func.__name__: operation.auth_callbacks for operation in api.operations()}
    keys = {name: asked[0] for name, asked in needed.items() if asked and isinstance(asked[0], Key)}
    tokens = {name for name, asked in needed.items() if asked and isinstance(asked[0], Token | AgentToken)}

    assert len(keys) >= 14 and len(tokens) >= 8
    tickets = {"fetch_input", "fetch_upload"}
    assert needed.keys() - keys.keys() - tokens == tickets, "their addresses are signed and end"
    assert all(key.verbs and set(key.verbs) <= KEY_VERBS.keys() for key in keys.values())
