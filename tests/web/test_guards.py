"""Guards of the doors: the URL resolver and the API are walked by themselves, and every visitor knocks at every one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client as Browser
from django.urls import URLPattern, get_resolver, reverse

from agency.api import api
from pipelines.models import Batch
from tenants import actions, scope
from tenants.models import ApiKey, Client, Pipeline
from tests import factories
from tests.web.roles import CALLERS, OPERATIONS, PAGES, VISITORS, Door


@dataclass(frozen=True)
class World:
    """Acorn with one pipeline: version 1 in production, run 2 held, a batch, a host, a key."""

    client: Client
    pipeline: Pipeline
    address: dict[str, Any]


@pytest.fixture
def world(acorn: Client, clock: Any) -> World:
    pipeline = factories.make_pipeline(acorn)
    factories.make_production(pipeline)
    factories.make_run(pipeline, at="compare", status="held")
    factories.make_key(acorn)
    with factories.inside(acorn):
        batch, key = Batch.objects.first(), ApiKey.objects.first()
    address = {"slug": "acorn", "pipeline_slug": "support", "number": 1, "prefix": key.prefix, "batch_id": batch.pk}
    return World(acorn, pipeline, address)


# What an address or a body needs beyond the world's own.
KWARGS: dict[str, dict[str, Any]] = {"probe-host": {"name": "shop"}, "decide": {"name": "approve", "number": 2}}
BODIES: dict[str, Any] = {
    "upload_examples": b'{"input": "Where is my parcel?", "output": "delivery"}\n',
    "order_run": {"reason": "asked by a test"},
    "order_rollback": {"to": 1, "reason": "asked by a test"},
    "send_feedback": {"request_id": "unknown", "is_good": True},
}


def patterns(found: Any = None, namespace: str = "") -> Iterator[tuple[str, URLPattern]]:
    """(namespace, pattern) of every address that the product answers."""
    for entry in get_resolver().url_patterns if found is None else found:
        if isinstance(entry, URLPattern):
            yield namespace, entry
        else:
            yield from patterns(entry.url_patterns, entry.namespace or namespace)


def operations() -> Iterator[tuple[str, str]]:
    """(name, method) of every operation of the API."""
    for _prefix, router in api._routers:
        for view in router.path_operations.values():
            for operation in view.operations:
                yield from ((operation.view_func.__name__, method) for method in operation.methods)


def address(name: str, world: World, namespace: str = "") -> str:
    """The URL of a page or operation inside acorn."""
    pattern = next(pattern for _, pattern in patterns() if pattern.name == name)
    known = world.address | KWARGS.get(name, {})
    if namespace:
        known |= {"slug": "support"}  # The API names the pipeline; its key names the client.
    kwargs = {key: value for key, value in known.items() if key in pattern.pattern.converters}
    return reverse(f"{namespace}:{name}" if namespace else name, kwargs=kwargs)


def test_every_address_has_a_name_and_stands_in_a_table() -> None:
    tabled = {door.name for door in PAGES} | {door.name for door in OPERATIONS}

    missing = [str(pattern.pattern) for _, pattern in patterns() if pattern.name not in tabled]

    assert missing == []


def test_every_page_is_tabled_for_reading_and_for_writing() -> None:
    names = {door.name for door in PAGES}

    assert {(door.name, door.method) for door in PAGES} == {
        (name, method) for name in names for method in ("GET", "POST")
    }


def test_every_operation_of_the_api_is_tabled_and_no_other() -> None:
    assert {(door.name, door.method) for door in OPERATIONS} == set(operations())


@pytest.mark.parametrize("door", PAGES, ids=str)
def test_each_visitor_gets_the_status_of_the_table(door: Door, world: World, request: pytest.FixtureRequest) -> None:
    name = f"rest:{door.name}" if door.name in ("openapi-json", "openapi-view", "api-root") else door.name
    url = address(door.name, world, "rest" if name.startswith("rest:") else "")
    got = {}
    for visitor in reversed(VISITORS):  # Those who may act come last.
        browser: Browser = request.getfixturevalue(visitor)
        response = browser.get(url) if door.method == "GET" else browser.post(url, {"nothing": "useful"})
        got[visitor] = response.status_code
        if visitor == "anonymous" and response.status_code == 302:
            assert response["Location"].startswith(("/login/", "/setup/")), response["Location"]

    assert {visitor: got[visitor] for visitor in VISITORS} == door.statuses


@dataclass(frozen=True)
class Caller:
    """Somebody at the API: a browser's cookies, a key, or both."""

    browser: Browser
    key: str = ""

    def call(self, method: str, url: str, body: Any) -> HttpResponse:
        headers = {"Idempotency-Key": "one"} | ({"Authorization": f"Bearer {self.key}"} if self.key else {})
        if isinstance(body, bytes):
            return self.browser.generic(method, url, body, content_type="application/x-ndjson", headers=headers)
        return getattr(self.browser, method.lower())(url, body, content_type="application/json", headers=headers)


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
    url = address(door.name, world, "rest")
    got = {}
    for name in reversed(CALLERS):
        response = callers[name].call(door.method, url, BODIES.get(door.name))
        got[name] = response.status_code
        if name in ("sibling_key", "stranger_key"):
            assert b"support" not in response.content.lower()

    assert {name: got[name] for name in CALLERS} == door.statuses
