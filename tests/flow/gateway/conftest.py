"""A client with a pipeline in two versions on a host that can break, and gateways before it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from django.utils import timezone

from agency.gateway.app import Gateway, beside, nothing_else
from agency.gateway.limits import Limits
from pipelines.models import ModelVersion
from pipelines.shipping.route import flip
from tenants.models import Client, Pipeline
from tests import factories
from tests.flow.gateway.double import Double, asgi_server

CHAT = {"model": "support", "messages": [{"role": "user", "content": "Where is my invoice?"}]}


@dataclass
class Ground:
    """One pipeline with v1 and v2 on the double, and a key of its client."""

    client: Client
    pipeline: Pipeline
    versions: dict[int, ModelVersion]
    key: str
    double: Double

    def name(self, number: int) -> str:
        return f"deploy.invalid/{self.client.slug}/{self.pipeline.slug}:v{number}"

    def flip(self, production: int, candidate: int | None = None, share: float = 0.0) -> int:
        """Commits the route as the product does; gives its serial."""
        with factories.inside(self.client):
            chosen = self.versions[candidate] if candidate else None
            rollout = chosen.run.rollout if chosen else None
            now = timezone.now()
            return flip(self.versions[production], now, candidate=chosen, share=share, rollout=rollout).serial


@pytest.fixture
def double() -> Iterator[Double]:
    with Double().serving() as double:
        yield double


def lay_ground(client: Client, double: Double) -> Ground:
    factories.make_host(client, "shop", double.url)
    pipeline = factories.make_pipeline(client)
    runs = [factories.make_production(pipeline) for _ in range(2)]
    with factories.inside(client):
        versions = {run.model_version.number: run.model_version for run in runs}
    ground = Ground(client, pipeline, versions, factories.make_key(client, "gateway"), double)
    ground.flip(1)
    return ground


@pytest.fixture
def ground(transactional_db: None, double: Double) -> Ground:
    return lay_ground(factories.make_client(slug="acorn"), double)


@dataclass
class Door:
    """A served gateway, and a caller with a key."""

    gateway: Gateway
    url: str
    key: str
    http: httpx2.Client

    def post(self, path: str, document: dict[str, Any], key: str | None = None, **headers: str) -> httpx2.Response:
        return self.http.post(self.url + path, json=document, headers=self.headers(key) | headers)

    def get(self, path: str, key: str | None = None) -> httpx2.Response:
        return self.http.get(self.url + path, headers=self.headers(key))

    def headers(self, key: str | None = None) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key if key is None else key}".strip()}

    def chat(self, stream: bool = False, **fields: Any) -> httpx2.Response:
        return self.post("/api/chat", CHAT | {"stream": stream} | fields)


Open = Callable[..., Door]


@pytest.fixture
def open_door(ground: Ground, tmp_path: Path) -> Iterator[Open]:
    with ExitStack() as stack:

        def open_one(name: str = "one", limits: Limits | None = None) -> Door:
            gateway = Gateway(name, tmp_path, limits)
            url = stack.enter_context(asgi_server(beside(gateway, nothing_else)))
            http = stack.enter_context(httpx2.Client(timeout=20))
            return Door(gateway, url, ground.key, http)

        yield open_one


@pytest.fixture
def door(open_door: Open) -> Door:
    return open_door()
