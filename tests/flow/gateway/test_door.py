"""Who gets in, and to what: keys, models of the own client, the seven paths."""

import socket
import time
from urllib.parse import urlsplit

import pytest

from agency.gateway import plane
from agency.gateway.routes.agents import AGENT_PATH
from pipelines.models import Route
from tenants.models import ApiKey
from tests import factories
from tests.flow.gateway.conftest import CHAT, Door, Ground, lay_ground
from tests.flow.gateway.double import wait_for

MANAGEMENT = ("pull", "push", "create", "copy", "delete", "show", "ps", "blobs/sha256:00", "embed", "embeddings", "")


@pytest.mark.parametrize("key", ["", "rk_00000000_nobody", "x" * 5000])
def test_without_a_known_key_nothing_is_answered_in_either_format(door: Door, key: str) -> None:
    native = door.post("/api/chat", CHAT, key=key)
    openai = door.post("/v1/chat/completions", CHAT, key=key)
    lists = [door.get(path, key=key).status_code for path in ("/api/tags", "/api/version", "/v1/models")]
    assert native.status_code == openai.status_code == 401 and lists == [401, 401, 401]
    assert native.json() == {"error": "a valid API key is required"}
    assert openai.json()["error"]["code"] == "invalid_api_key"


def test_a_key_without_the_gateway_verb_does_not_open(door: Door, ground: Ground) -> None:
    key = factories.make_key(ground.client, "examples")
    assert door.post("/api/chat", CHAT, key=key).status_code == 401


def test_a_key_issued_now_opens_at_once_and_a_revoked_one_soon_no_more(door: Door, ground: Ground) -> None:
    key = factories.make_key(ground.client, "gateway")
    assert door.post("/api/chat", CHAT | {"stream": False}, key=key).status_code == 200
    with factories.inside(ground.client):
        ApiKey.objects.filter(prefix=key[3:11]).update(revoked_at=factories.NOW)
    wait_for(lambda: door.post("/api/chat", CHAT | {"stream": False}, key=key).status_code == 401)


def test_the_model_of_a_sibling_client_is_not_found_by_any_name(door: Door, ground: Ground) -> None:
    other = lay_ground(factories.make_client(ground.client.agency, "birch"), ground.double)
    wait_for(lambda: door.post("/api/chat", CHAT | {"model": "birch/support"}, key=other.key).status_code == 200)
    asked = len(ground.double.asked)
    names = (
        "birch/support",
        "deploy.invalid/birch/support:v1",
        "deploy.invalid/acorn/support:v1",
        "nothing",
        "../birch/support",
    )
    for name in names:
        answer = door.post("/api/chat", CHAT | {"model": name})
        assert (answer.status_code, answer.json()) == (404, {"error": f"model '{name}' not found"})
        assert door.post("/v1/chat/completions", CHAT | {"model": name}).json()["error"]["type"] == "not_found_error"
    assert len(ground.double.asked) == asked


@pytest.mark.parametrize("name", ["support", "acorn/support", "support:latest"])
def test_the_own_model_answers_by_each_of_its_names(door: Door, ground: Ground, name: str) -> None:
    answer = door.post("/api/chat", CHAT | {"model": name, "stream": False})
    assert answer.json()["message"]["content"] == "billing"
    assert ground.double.asked[-1]["model"] == ground.name(1)


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "HEAD", "PUT"])
def test_management_paths_are_not_there(door: Door, ground: Ground, method: str) -> None:
    for path in [f"/api/{name}" for name in MANAGEMENT] + ["/v1/embeddings", "/v1/models/support", "/v1/files"]:
        assert door.http.request(method, door.url + path, headers=door.headers()).status_code == 404
    assert ground.double.asked == []


def test_a_known_path_refuses_other_methods(door: Door) -> None:
    answer = door.get("/api/chat")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


def test_lists_show_only_what_is_routed_for_the_own_client(door: Door, ground: Ground) -> None:
    lay_ground(factories.make_client(ground.client.agency, "birch"), ground.double)
    tags, models = door.get("/api/tags").json(), door.get("/v1/models").json()
    assert [model["name"] for model in tags["models"]] == ["support:latest"]
    assert tags["models"][0]["digest"] == ground.versions[1].gguf_digest
    assert [(model["id"], model["owned_by"]) for model in models["data"]] == [("support", "acorn")]
    assert door.get("/api/version").json() == {"version": "0.0.0"}
    head = door.http.head(door.url + "/api/tags", headers=door.headers())
    assert (head.status_code, head.content) == (200, b"")


def test_a_pipeline_that_was_never_promoted_is_not_found(door: Door, ground: Ground) -> None:
    with factories.inside(ground.client):
        Route.objects.filter(pipeline=ground.pipeline).delete()
    wait_for(lambda: door.chat().status_code == 404)


def test_bodies_that_cannot_be_are_refused_in_the_callers_format(door: Door) -> None:
    url, headers = door.url + "/api/chat", door.headers()
    for body, status in ((b"", 400), (b"{", 400), (b"[]", 400), (b'{"model": 7}', 400), (b"x" * (10 * 2**20 + 1), 413)):
        answer = door.http.post(url, content=body, headers=headers)
        assert answer.status_code == status and isinstance(answer.json()["error"], str)
    deep = b"[" * 300 + b"]" * 300
    for document in (b'{"model": "support", "messages": ["a"]}', b'{"model": "support", "messages": %b}' % deep,
                     b'{"model": "support", "messages": [], "tools": %b}' % deep):  # fmt: skip
        assert door.http.post(url, content=document, headers=headers).status_code == 400
    nested = b'{"model": "support", "messages": [{"role": "user", "content": "?"}], "tools": %b}' % deep
    answer = door.http.post(door.url + "/v1/chat/completions", content=nested, headers=headers)
    assert answer.status_code == 400 and "nested too deeply" in answer.json()["error"]["message"]
    openai = door.post("/v1/chat/completions", {"model": "support", "messages": []})
    assert openai.status_code == 400 and openai.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("path", [AGENT_PATH, "/metrics", "/healthz/routes"])
def test_doors_of_their_own_take_no_body_and_wait_for_none(
    door: Door, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert door.http.post(door.url + path, content=bytes(2**20)).status_code == 413
    assert door.http.post(door.url + path, content=iter([bytes(2**16)] * 16)).status_code == 413
    monkeypatch.setattr(plane, "DOOR_S", 0.2)
    began, place = time.monotonic(), urlsplit(door.url)
    with socket.create_connection((place.hostname, place.port), timeout=10) as stranger:
        stranger.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nx".encode())
        assert stranger.recv(1000).startswith(b"HTTP/1.1 408") and time.monotonic() - began < 8
