"""A world that stands for a whole module: made once, and what a test does to it is undone after that test."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from http.cookies import SimpleCookie
from typing import Any

import pytest
from django.db import transaction
from django.test import Client as Browser

from tenants import actions, scope
from tenants.models import ApiKey, Client, Role
from tests import factories
from tests.web.doors import Caller, World, build


@dataclass(frozen=True)
class Stage:
    """The world, who may knock at its doors, and the keys of the API. `cookies`: of those who are signed in."""

    world: World
    cookies: dict[str, SimpleCookie]
    keys: dict[str, str]

    def visitor(self, name: str) -> Browser:
        """With what he had at first, whatever a test before did to his session."""
        browser = Browser()
        browser.cookies = SimpleCookie(self.cookies.get(name))
        return browser

    def caller(self, name: str) -> Caller:
        return Caller(self.visitor("owner")) if name == "session" else Caller(Browser(), self.keys[name])


@pytest.fixture(scope="module")
def built(django_db_setup: None, django_db_blocker: Any) -> Iterator[Stage]:
    """One open transaction for the module."""
    with django_db_blocker.unblock(), transaction.atomic(), scope.entered(None):
        yield set_up()
        transaction.set_rollback(True)


@pytest.fixture
def undone(built: Stage) -> Iterator[Stage]:
    """A module that asks for it calls it `db`: the usual one would close the connection, and the world with it."""
    with transaction.atomic():
        yield built
        transaction.set_rollback(True)


def set_up() -> Stage:
    agency = factories.make_agency("north")
    acorn, birch = factories.make_client(agency, "acorn"), factories.make_client(agency, "birch")
    cedar = factories.make_client(factories.make_agency("south"), "cedar")
    people = {
        "owner": (acorn, Role.OWNER),
        "engineer": (acorn, Role.ENGINEER),
        "viewer": (acorn, Role.VIEWER),
        "reader": (acorn, Role.READER),
        "sibling": (birch, Role.READER),
        "stranger": (cedar, Role.OWNER),
    }
    return Stage(build(acorn), {name: signed_in(*who) for name, who in people.items()}, keys_of(acorn, birch, cedar))


def signed_in(client: Client, role: Role) -> SimpleCookie:
    browser = Browser()
    only = client if role == Role.READER else None
    email = f"{role}@{client.slug if only else client.agency.slug}.example"
    browser.force_login(factories.make_member(client.agency, role, only, email))
    return browser.cookies


def keys_of(acorn: Client, birch: Client, cedar: Client) -> dict[str, str]:
    revoked = factories.make_key(acorn)
    with factories.inside(acorn):
        actions.revoke_key(ApiKey.objects.order_by("-id")[0], "tests", factories.NOW)
    return {
        "key": factories.make_key(acorn),
        "other_verb": factories.make_key(acorn, "gateway"),
        "sibling_key": factories.make_key(birch),
        "stranger_key": factories.make_key(cedar),
        "revoked_key": revoked,
    }
