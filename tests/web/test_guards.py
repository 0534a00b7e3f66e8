"""Guards of the doors: the URL resolver and the API are walked by themselves, and every visitor knocks at every one."""

from __future__ import annotations

import pytest

from tests.web.conftest import Stage
from tests.web.doors import knock, operations, patterns
from tests.web.roles import CALLERS, OPERATIONS, PAGES, VISITORS, Door


@pytest.fixture
def db(undone: Stage) -> Stage:
    return undone


@pytest.fixture
def stage(db: Stage) -> Stage:
    return db


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
def test_each_visitor_gets_the_status_of_the_table(door: Door, stage: Stage) -> None:
    got = {}
    for visitor in reversed(VISITORS):  # Those who may act come last.
        response = knock(stage.visitor(visitor), door, stage.world)
        got[visitor] = response.status_code
        if visitor == "anonymous" and response.status_code == 302:
            assert response["Location"].startswith(("/login/", "/account/code/")), response["Location"]

    assert {visitor: got[visitor] for visitor in VISITORS} == door.statuses


@pytest.mark.parametrize("door", OPERATIONS, ids=str)
def test_each_caller_gets_the_status_of_the_table(door: Door, stage: Stage) -> None:
    got = {}
    for name in reversed(CALLERS):
        response = stage.caller(name).call(door, stage.world)
        got[name] = response.status_code
        if name in ("sibling_key", "stranger_key"):
            assert b"support" not in response.content.lower()

    assert {name: got[name] for name in CALLERS} == door.statuses
