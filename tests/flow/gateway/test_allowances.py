"""Limits per key: so many requests and tokens a minute, told in the caller's wire format."""

from __future__ import annotations

import ollama
import openai
import pytest

from agency.gateway.allowances import Allowances
from agency.gateway.limits import Limits
from agency.gateway.routes import store
from agency.gateway.routes.snapshot import Allowance
from agency.gateway.wire import Refused
from tenants import actions
from tenants.models import ApiKey
from tests import factories
from tests.flow.gateway.conftest import CHAT, Door, Ground, Open
from tests.flow.gateway.double import wait_for


def limited_key(ground: Ground, **limits: int | None) -> str:
    with factories.inside(ground.client):
        return actions.issue_key(ground.client, "limited", ["gateway"], "tests", factories.NOW, **limits)[1]


def test_the_request_above_the_limit_is_refused_in_both_formats_and_other_keys_go_on(
    door: Door, ground: Ground
) -> None:
    key = limited_key(ground, requests_per_minute=2)
    answers = [door.post("/api/chat", CHAT | {"stream": False}, key) for _ in range(3)]
    openais = door.post("/v1/chat/completions", CHAT, key)
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[2].json() == {"error": "this key may use 2 requests a minute: try again in 30 s"}
    assert answers[2].headers["retry-after"] == "30"
    error = openais.json()["error"]
    assert (openais.status_code, error["type"], error["code"]) == (429, "rate_limit_error", "rate_limit_exceeded")
    assert door.chat().status_code == 200 and len(ground.double.asked) == 3
    assert door.get("/api/tags", key).status_code == 200, "lists are free"


def test_the_real_packages_raise_their_own_rate_limit_errors(door: Door, ground: Ground) -> None:
    key = limited_key(ground, requests_per_minute=1)
    door.post("/api/chat", CHAT, key)
    with openai.OpenAI(base_url=door.url + "/v1", api_key=key, max_retries=0) as client:
        with pytest.raises(openai.RateLimitError):
            client.chat.completions.create(model="support", messages=CHAT["messages"])
    with pytest.raises(ollama.ResponseError) as refused:
        ollama.Client(door.url, headers=door.headers(key)).chat("support", CHAT["messages"])
    assert refused.value.status_code == 429


def test_tokens_are_counted_once_the_host_has_told_them(door: Door, ground: Ground) -> None:
    key = limited_key(ground, tokens_per_minute=20)  # An answer of the double takes 13.

    def level() -> float:
        [(_, meters)] = door.gateway.allowances.known.values()
        return meters.tokens.level

    for left in (7, -6):
        assert door.post("/api/chat", CHAT, key).status_code == 200
        wait_for(lambda left=left: level() < left + 1)
    refused = door.post("/api/chat", CHAT, key)
    assert refused.status_code == 429 and "20 tokens a minute" in refused.json()["error"]


def test_a_key_that_always_leaves_before_the_last_line_comes_to_its_limit(door: Door, ground: Ground) -> None:
    ground.double.answer = ("word",) * 2000
    key = limited_key(ground, tokens_per_minute=100)
    asked = CHAT | {"messages": [{"role": "user", "content": "Where is my invoice? " * 20}]}
    with door.http.stream("POST", door.url + "/api/chat", json=asked, headers=door.headers(key)) as answer:
        lines = answer.iter_lines()
        assert [next(lines) for _ in range(3)] and answer.status_code == 200
    [(_, meters)] = door.gateway.allowances.known.values()
    wait_for(lambda: meters.tokens.level < 0)
    assert door.post("/api/chat", asked, key=key).status_code == 429


def test_a_limit_that_is_changed_counts_at_the_next_look(door: Door, ground: Ground) -> None:
    key = limited_key(ground, requests_per_minute=1)
    door.post("/api/chat", CHAT, key)
    with factories.inside(ground.client):
        ApiKey.objects.filter(name="limited").update(requests_per_minute=None)
    ground.flip(1)
    wait_for(lambda: not door.gateway.follower.current.clients[ground.client.pk].allowances)
    assert door.post("/api/chat", CHAT, key).status_code == 200


def test_limits_survive_on_disk(door: Door, ground: Ground) -> None:
    key = limited_key(ground, requests_per_minute=1, tokens_per_minute=5)
    door.post("/api/chat", CHAT, key)

    def stored() -> list[Allowance]:
        routes, _ = store.load(door.gateway.follower.file)
        return [limit for client in routes.clients.values() for limit in client.allowances.values()]

    wait_for(stored)
    assert stored() == [Allowance(1, 5)]


def test_a_bucket_fills_evenly_and_never_above_one_minute() -> None:
    clock = [0.0]
    allowances, limit = Allowances(clock=lambda: clock[0]), Allowance(6, None)
    for _ in range(6):
        allowances.admit("k", limit)
    with pytest.raises(Refused, match="try again in 10 s"):
        allowances.admit("k", limit)
    clock[0] = 10.0
    allowances.admit("k", limit)
    clock[0] = 10_000.0
    for _ in range(6):
        allowances.admit("k", limit)
    with pytest.raises(Refused):
        allowances.admit("k", limit)


def test_figures_for_prometheus_need_the_token_and_count_what_was_answered(open_door: Open, ground: Ground) -> None:
    door = open_door("metered", Limits(prometheus_token="scrape"))
    door.chat(stream=True)
    ground.double.behaviour[ground.name(1)] = "503"
    door.chat()
    assert door.get("/metrics", "").status_code == door.get("/metrics").status_code == 401
    labels = 'client="acorn",pipeline="support",version="v1",arm="production",host="shop"'

    def page() -> list[str]:
        return door.get("/metrics", "scrape").text.splitlines()

    wait_for(lambda: f"retune_gateway_requests_total{{{labels}}} 2" in page())
    lines = page()
    assert f"retune_gateway_errors_total{{{labels}}} 1" in lines
    assert f"retune_gateway_output_tokens_total{{{labels}}} 2" in lines
    assert f"retune_gateway_first_token_seconds_count{{{labels}}} 1" in lines
    assert f'retune_gateway_duration_seconds_bucket{{{labels},le="+Inf"}} 2' in lines
    assert "retune_gateway_database_up 1" in lines and "retune_gateway_meter_dropped_records 0" in lines
    assert all(line.startswith("#") or len(line.rsplit(" ", 1)) == 2 for line in lines)


def test_without_a_token_there_is_no_page_of_figures(door: Door) -> None:
    assert door.get("/metrics", "").status_code == 404
