"""The doors on PostgreSQL, as the app's role: row-level security lets through what the product asks of its own rows."""

from __future__ import annotations

import pytest
from django.test import Client as Browser

from tenants.models import Agency, Client, Role
from tests import factories
from tests.installation import Installation
from tests.web.doors import Caller, World, build, knock
from tests.web.roles import OPERATIONS, PAGES, Door


@pytest.fixture
def world(on_postgres: Installation) -> World:
    return build(factories.make_client(factories.make_agency("north"), "acorn"))


def signed_in(agency: Agency, role: Role, client: Client | None) -> Browser:
    browser = Browser()
    browser.force_login(factories.make_member(agency, role, client))
    return browser


# What comes after them would meet another visitor, or nothing to revoke.
LEAVE_A_MARK = ("logout", "account_logout", "revoke-key", "view-client", "view-person", "close-invitation")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_each_page_answers_as_on_sqlite(world: World, method: str) -> None:
    agency = world.client.agency
    visitors = {
        "sibling": signed_in(agency, Role.READER, factories.make_client(agency, "birch")),
        "reader": signed_in(agency, Role.READER, world.client),
        "owner": signed_in(agency, Role.OWNER, None),
    }
    doors = [door for door in PAGES if door.method == method and door.name not in LEAVE_A_MARK]

    got = {str(door): {role: knock(visitors[role], door, world).status_code for role in visitors} for door in doors}

    assert got == {str(door): {role: door.statuses[role] for role in visitors} for door in doors}


@pytest.mark.parametrize("door", OPERATIONS, ids=str)
def test_each_operation_answers_as_on_sqlite(world: World, door: Door) -> None:
    key = Caller(Browser(), factories.make_key(world.client))
    other = Caller(Browser(), factories.make_key(factories.make_client(world.client.agency, "birch")))

    got = {"key": key.call(door, world).status_code, "sibling_key": other.call(door, world).status_code}

    assert got == {name: door.statuses[name] for name in got}
