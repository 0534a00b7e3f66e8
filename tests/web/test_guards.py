"""Guards of the doors: the URL resolver and the API are walked by themselves, and every visitor knocks at every one."""

from __future__ import annotations

import pytest
from django.test import Client as Browser

from tenants import actions, scope
from tenants.models import ApiKey, Client
from tests import factories
from tests.web.doors import Caller, World, build, knock, operations, patterns
from tests.web.roles import CALLERS, OPERATIONS, PAGES, VISITORS, Door


@pytest.fixture
def world(acorn: Client) -> World:
    return build(acorn)


def test_every_address_has_a_name_and_stands_in_a_table() -> None:
    tabled = {door.name for door in PAGES} | {door.name for door in OPERATIONS}

    assert [str(pattern.pattern) for _, pattern in patterns() if pattern.name not in tabled] == []


def test_no_table_holds_a_door_that_is_gone() -> None:
    assert {door.name for door in PAGES} <= {pattern.name for _, pattern in patterns()}


def test_every_page_is_tabled_for_reading_and_for_writing() -> None:
    wanted = {(door.name, method) for door in PAGES for method in ("GET", "POST")}

    assert {(door.name, door.method) for door in PAGES} == wanted


def test_every_operation_of_the_api_is_tabled_and_no_other() -> None:
    assert {(door.name, door.method) for door in OPERATIONS} == set(operations())


@pytest.mark.parametrize("door", PAGES, ids=str)
def test_each_visitor_gets_the_status_of_the_table(door: Door, world: World, request: pytest.FixtureRequest) -> None:
    got = {}
    for visitor in reversed(VISITORS):  # Those who may act come last.
        response = knock(request.getfixturevalue(visitor), door, world)
        got[visitor] = response.status_code
        if visitor == "anonymous" and response.status_code == 302:
            assert response["Location"].startswith(("/login/", "/account/code/")), response["Location"]

    assert {visitor: got[visitor] for visitor in VISITORS} == door.statuses


@pytest.fixture
def callers(acorn: Client, birch: Client, cedar: Client, owner: Browser) -> dict[str, Caller]:
    revoked = factories.make_key(acorn)
    with scope.client_scope(acorn.pk, acorn.agency_id):
        actions.revoke_key(ApiKey.objects.order_by("-id")[0], "tests", factories.NOW)
    texts = {
        "key": factories.make_key(acorn),
        "other_verb": factories.make_key(acorn, "gateway"),
        "sibling_key": factories.make_key(birch),
        "stranger_key": factories.make_key(cedar),
        "revoked_key": revoked,
    }
    return {name: Caller(Browser(), text) for name, text in texts.items()} | {"session": Caller(owner)}


@pytest.mark.parametrize("door", OPERATIONS, ids=str)
def test_each_caller_gets_the_status_of_the_table(door: Door, world: World, callers: dict[str, Caller]) -> None:
    got = {}
    for name in reversed(CALLERS):
        response = callers[name].call(door, world)
        got[name] = response.status_code
        if name in ("sibling_key", "stranger_key"):
            assert b"support" not in response.content.lower()

    assert {name: got[name] for name in CALLERS} == door.statuses
