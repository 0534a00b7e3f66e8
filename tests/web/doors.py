"""The world behind the doors: what stands at acorn when visitors knock, and how each address and body is made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.http import HttpResponse
from django.test import Client as Browser
from django.urls import URLPattern, get_resolver, reverse

from agency.api import api
from pipelines.models import Batch
from tenants.models import ApiKey, Client, Pipeline
from tests import factories
from tests.web.roles import Door

# What an address or a body needs beyond the world's own.
KWARGS: dict[str, dict[str, Any]] = {"probe-host": {"name": "shop"}, "decide": {"name": "approve", "number": 2}}
BODIES: dict[str, Any] = {
    "upload_examples": b'{"input": "Where is my parcel?", "output": "delivery"}\n',
    "order_run": {"reason": "asked by a test"},
    "order_rollback": {"to": 1, "reason": "asked by a test"},
    "send_feedback": {"request_id": "unknown", "is_good": True},
}
REST_PAGES = ("openapi-json", "openapi-view", "api-root")


@dataclass(frozen=True)
class World:
    """A client with one pipeline: version 1 in production, run 2 held, a batch, a host, a key."""

    client: Client
    pipeline: Pipeline
    address: dict[str, Any]


def build(client: Client) -> World:
    pipeline = factories.make_pipeline(client)
    factories.make_production(pipeline)
    factories.make_run(pipeline, at="compare", status="held")
    factories.make_key(client)
    with factories.inside(client):
        batch, key = Batch.objects.first(), ApiKey.objects.first()
    assert batch is not None and key is not None
    address = {"slug": client.slug, "pipeline_slug": "support", "number": 1, "prefix": key.prefix, "batch_id": batch.pk}
    return World(client, pipeline, address)


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


def address(name: str, world: World) -> str:
    """The URL of a page or operation inside the world."""
    namespace, pattern = next(found for found in patterns() if found[1].name == name)
    known = world.address | KWARGS.get(name, {})
    if namespace:
        known |= {"slug": world.pipeline.slug}  # The API names the pipeline; its key names the client.
    kwargs = {key: value for key, value in known.items() if key in pattern.pattern.converters}
    return reverse(f"{namespace}:{name}" if namespace else name, kwargs=kwargs)


def knock(browser: Browser, door: Door, world: World) -> HttpResponse:
    """A form that was sent holds something: an empty POST would read as "not sent"."""
    url = address(door.name, world)
    return browser.get(url) if door.method == "GET" else browser.post(url, {"nothing": "useful"})


@dataclass(frozen=True)
class Caller:
    """Somebody at the API: a browser's cookies, a key, or both."""

    browser: Browser
    key: str = ""

    def call(self, door: Door, world: World) -> HttpResponse:
        url, body = address(door.name, world), BODIES.get(door.name)
        headers = {"Idempotency-Key": "one"} | ({"Authorization": f"Bearer {self.key}"} if self.key else {})
        if isinstance(body, bytes):
            return self.browser.generic(door.method, url, body, content_type="application/x-ndjson", headers=headers)
        send = getattr(self.browser, door.method.lower())
        return send(url, body, content_type="application/json", headers=headers)
