"""Arms, flips and fallbacks: sticky shares, a second to follow a flip, production behind a candidate that breaks."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import aiohttp
import pytest

from agency.gateway.limits import Limits
from agency.gateway.routes.orders import send_order, sockets
from pipelines.models import Placement
from tenants.models import Host
from tests import factories
from tests.flow.gateway.conftest import CHAT, Door, Ground, Open
from tests.flow.gateway.double import Double, wait_for


async def ask_many(door: Door, keys: list[str], at_once: int = 20) -> list[tuple[int, str, dict[str, Any]]]:
    """(status, version, body) of one request per conversation key."""
    gate = asyncio.Semaphore(at_once)

    async def ask(http: aiohttp.ClientSession, key: str) -> tuple[int, str, dict[str, Any]]:
        headers = door.headers() | {"X-Conversation-Id": key}
        async with gate, http.post(door.url + "/api/chat", json=CHAT | {"stream": False}, headers=headers) as answer:
            return answer.status, answer.headers.get("x-retune-version", ""), await answer.json()

    async with aiohttp.ClientSession() as http:
        return await asyncio.gather(*(ask(http, key) for key in keys))


def versions(door: Door, keys: list[str]) -> list[str]:
    return [version for _, version, _ in asyncio.run(ask_many(door, keys))]


def serves(door: Door, version: str) -> bool:
    return door.chat().headers["x-retune-version"] == version


def test_shares_are_sticky_and_a_larger_share_moves_nobody_back(door: Door, ground: Ground) -> None:
    keys = [f"conversation {n}" for n in range(200)]
    ground.flip(1, candidate=2, share=0.25)
    wait_for(lambda: "v2" in versions(door, keys[:40]))
    first, again = versions(door, keys), versions(door, keys)
    assert first == again and 25 <= Counter(first)["v2"] <= 75
    ground.flip(1, candidate=2, share=0.6)
    wait_for(lambda: Counter(versions(door, keys))["v2"] > 85)
    larger = versions(door, keys)
    assert all(now == "v2" for before, now in zip(first, larger, strict=True) if before == "v2")


def test_two_gateways_follow_a_flip_within_a_second(open_door: Open, ground: Ground) -> None:
    doors = [open_door("one"), open_door("two")]
    for door in doors:
        wait_for(lambda door=door: serves(door, "v1"))
    for target in (2, 1, 2):
        ground.flip(target)
        assert wait_for(lambda target=target: all(serves(door, f"v{target}") for door in doors)) < 1.0


@pytest.mark.parametrize("kind", ["dies", "503", "404", "cut"])
def test_before_the_first_byte_production_answers_for_a_candidate_that_fails(
    door: Door, ground: Ground, kind: str
) -> None:
    ground.double.behaviour[ground.name(2)] = kind
    ground.flip(1, candidate=2, share=1.0)
    wait_for(lambda: door.chat().headers["x-retune-arm"] == "fallback")
    answer = door.chat()
    assert (answer.status_code, answer.json()["message"]["content"]) == (200, "billing")
    assert answer.headers["x-retune-version"] == "v1"


def test_another_host_of_the_same_version_answers_when_the_first_is_gone(open_door: Open, ground: Ground) -> None:
    with Double().serving() as second:
        place_on(ground, "spare", second.url)
        door = open_door()
        wait_for(lambda: door.chat() and second.asked)
        ground.double.behaviour[ground.name(1)] = "dies"
        assert {door.chat().status_code for _ in range(5)} == {200}
        assert {door.chat(stream=True).status_code for _ in range(5)} == {200}


def place_on(ground: Ground, name: str, url: str) -> None:
    host = factories.make_host(ground.client, name, url)
    with factories.inside(ground.client):
        version = ground.versions[1]
        Placement.of(version, version=version, host=host, model_name=ground.name(1), placed_at=factories.NOW).save()


def test_when_nobody_can_answer_the_caller_hears_so_in_its_format(door: Door, ground: Ground) -> None:
    ground.double.behaviour[ground.name(1)] = "dies"
    assert (door.chat().status_code, door.chat().json()) == (502, {"error": "the connection to the host broke"})
    openai = door.post("/v1/chat/completions", CHAT)
    assert openai.status_code == 502 and openai.json()["error"]["type"] == "api_error"


def test_a_full_queue_is_refused_and_a_hanging_candidate_takes_no_place_of_production(
    open_door: Open, ground: Ground
) -> None:
    door = open_door(limits=Limits(host_concurrency=1, host_queue=1))
    ground.flip(1, candidate=2, share=1.0)
    wait_for(lambda: serves(door, "v2"))
    ground.double.behaviour[ground.name(2)] = "slow"

    async def crowd() -> list[tuple[int, str, dict[str, Any]]]:
        asked = asyncio.create_task(ask_many(door, [f"key {n}" for n in range(6)]))
        while len(ground.double.asked) < 4:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)
        ground.double.release.set()
        return await asked

    answers = asyncio.run(crowd())
    # One candidate runs and one waits; the others are production's, of which again one waits at most.
    assert Counter(version for status, version, _ in answers if status == 200)["v2"] == 2
    ground.flip(1)
    wait_for(lambda: serves(door, "v1"))
    ground.double.release.clear()
    ground.double.behaviour[ground.name(1)] = "slow"

    async def overfull() -> list[tuple[int, str, dict[str, Any]]]:
        asked = asyncio.create_task(ask_many(door, [f"key {n}" for n in range(4)]))
        await asyncio.sleep(0.5)
        ground.double.release.set()
        return await asked

    statuses = Counter(status for status, _, _ in asyncio.run(overfull()))
    assert statuses == {200: 2, 503: 2}


def test_all_models_of_a_host_share_its_places_and_who_gets_none_hears_so(open_door: Open, ground: Ground) -> None:
    door = open_door(limits=Limits(host_concurrency=2, host_total=2, queue_s=0.3))
    wait_for(lambda: serves(door, "v1"))
    ground.double.behaviour |= {ground.name(number): "slow" for number in (1, 2)}
    ground.flip(1, candidate=2, share=1.0)
    wait_for(lambda: door.gateway.follower.current.entry("acorn", "support").candidate == 2)

    async def crowd() -> list[tuple[int, str, dict[str, Any]]]:
        asked = asyncio.create_task(ask_many(door, [f"key {n}" for n in range(2)]))
        while len(ground.double.asked) < 3:
            await asyncio.sleep(0.01)
        refused = await asyncio.to_thread(door.post, "/v1/chat/completions", CHAT)
        assert refused.status_code == 503 and refused.json()["error"]["message"].startswith("server busy")
        ground.double.release.set()
        return await asked

    answers = asyncio.run(crowd())
    assert [status for status, _, _ in answers] == [200, 200]
    assert serves(door, "v2")  # What was refused left no place taken.


def test_who_waited_while_the_candidate_was_taken_back_is_answered_by_production(
    open_door: Open, ground: Ground
) -> None:
    door = open_door(limits=Limits(host_concurrency=1))
    ground.flip(1, candidate=2, share=1.0)
    wait_for(lambda: serves(door, "v2"))
    ground.double.behaviour[ground.name(2)] = "slow"

    async def crowd() -> list[tuple[int, str, dict[str, Any]]]:
        asked = asyncio.create_task(ask_many(door, [f"key {n}" for n in range(5)]))
        await asyncio.sleep(0.3)
        await asyncio.to_thread(ground.flip, 1)
        await asyncio.sleep(1.0)
        ground.double.release.set()
        return await asked

    answers = asyncio.run(crowd())
    assert Counter(version for _, version, _ in answers) == {"v2": 1, "v1": 4}


def test_a_key_with_too_much_of_the_traffic_takes_no_part(door: Door, ground: Ground) -> None:
    ground.flip(1, candidate=2, share=1.0)
    wait_for(lambda: serves(door, "v2"))
    versions(door, [f"key {n}" for n in range(150)] + ["storm"] * 50)
    assert versions(door, ["storm", "storm", "another"]) == ["v1", "v1", "v2"]


def test_an_order_at_the_admin_socket_flips_at_once_until_a_newer_route_comes(door: Door, ground: Ground) -> None:
    wait_for(lambda: serves(door, "v1"))
    order = {"flip": {"client": "acorn", "pipeline": "support", "to_version": 2}}
    assert send_order(door.gateway.admin.path, order)["ok"]
    assert serves(door, "v2")
    # Routes are served while the first look still reads the rest; it says at its end that the database answered.
    wait_for(lambda: send_order(door.gateway.admin.path, {"status": True})["database"] is True)
    assert send_order(door.gateway.admin.path, {"status": True})["orders"] == [["acorn", "support", 2]]
    ground.flip(1)
    wait_for(lambda: serves(door, "v1"), within_s=1)
    assert send_order(door.gateway.admin.path, {"status": True})["orders"] == []


def test_two_workers_under_one_name_both_hear_an_order(open_door: Open, ground: Ground) -> None:
    doors = [open_door("one"), open_door("one")]
    wait_for(lambda: all(serves(door, "v1") for door in doors))
    order = {"flip": {"client": "acorn", "pipeline": "support", "to_version": 2}}
    heard = sockets(doors[0].gateway.admin.path.parent)
    assert len(heard) == 2 and all(send_order(path, order)["ok"] for path in heard)
    assert all(serves(door, "v2") for door in doors)


def test_an_order_for_a_version_on_no_host_is_refused_with_a_sentence(door: Door) -> None:
    wait_for(lambda: serves(door, "v1"))
    order = {"flip": {"client": "acorn", "pipeline": "support", "to_version": 9}}
    answer = send_order(door.gateway.admin.path, order)
    assert not answer["ok"] and "v9 of acorn/support lies on no host" in answer["error"]
    assert not send_order(door.gateway.admin.path, {"reboot": 1})["ok"]


def test_where_only_an_agent_reaches_the_host_the_refusal_says_where_to_ask(door: Door, ground: Ground) -> None:
    wait_for(lambda: serves(door, "v1"))
    with factories.inside(ground.client):
        Host.objects.filter(client=ground.client).update(kind="agent", url="http://office.agent.invalid")
    ground.flip(1)

    wait_for(lambda: door.chat().status_code == 503)

    sentence = door.chat().json()["error"]
    assert "its host shop can be reached by its own network only" in sentence
    assert "http://127.0.0.1:8430 on that machine" in sentence
