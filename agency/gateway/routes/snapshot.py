"""Where traffic goes: an immutable picture of all keys, pipelines, versions and hosts, and flips ordered over it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class Place:
    """A version on one host, under the name that the host knows.

    `sealed` is what lets us in, as it lies in the database; `sealed_for` what it was sealed for. On disk it stays so.
    Without `url` only the agent beside the host can ask it.
    """

    host: str
    url: str
    model_name: str
    host_version: str = ""
    sealed_for: str = ""
    sealed: str = ""


@dataclass(frozen=True, slots=True)
class Target:
    """A version: its row, its number and where it lies. Without `places` nobody can answer for it.

    `system` is given in place of an application's own system prompt, where the version has one that replaces it.
    """

    version_id: int
    number: int
    digest: str
    size_bytes: int
    created_at: str
    places: tuple[Place, ...]
    system: str = ""

    @property
    def open_places(self) -> tuple[Place, ...]:
        """Those that this gateway can ask itself."""
        return tuple(place for place in self.places if place.url)


@dataclass(frozen=True, slots=True)
class RouteEntry:
    """The route of one pipeline. `targets` holds every version that lies on a host: a flip may name any of them.

    `previous` is what production replaced: where an order goes back to that names no version.
    """

    pipeline_id: int
    client_id: int
    agency_id: int
    slug: str
    serial: int
    production: int
    candidate: int | None
    candidate_bp: int
    rollout_id: int | None
    output: Mapping[str, Any]
    targets: Mapping[int, Target]
    previous: int | None = None
    # Empty where nothing is kept; else max_bytes and redaction, as the pipeline's settings say.
    bodies: Mapping[str, Any] = field(default_factory=dict)

    def target(self, number: int) -> Target | None:
        return self.targets.get(number)

    def lies(self, number: int) -> bool:
        """Whether anybody could answer for this version."""
        target = self.target(number)
        return target is not None and bool(target.places)

    @property
    def way_back(self) -> int | None:
        """In a canary: production. Else what production replaced."""
        return self.production if self.candidate is not None else self.previous

    def flipped(self, to_version: int) -> RouteEntry:
        """All traffic to one version, nothing to a candidate."""
        return replace(self, production=to_version, candidate=None, candidate_bp=0)


@dataclass(frozen=True, slots=True)
class Allowance:
    """What one key may ask in a minute; None is no limit."""

    requests_per_minute: int | None
    tokens_per_minute: int | None


@dataclass(frozen=True, slots=True)
class Seat:
    """The agent beside one host: routes go to it, and calls for its host."""

    agent_id: int
    host: str


@dataclass(frozen=True, slots=True)
class ClientRoutes:
    """One client: its gateway keys (SHA-256 hex), what the limited ones may ask, and its pipelines by slug.

    `barred`: why it may ask nothing more, until `barred_until` (seconds since 1970): its month's tokens are used up.
    `agents`: those that stand beside hosts which nobody but they can reach, by the SHA-256 of their tokens.
    """

    client_id: int
    slug: str
    keys: frozenset[str]
    pipelines: Mapping[str, RouteEntry]
    serial: int = 0
    allowances: Mapping[str, Allowance] = field(default_factory=dict)
    barred: str = ""
    barred_until: float = 0.0
    agents: Mapping[str, Seat] = field(default_factory=dict)

    def find(self, model: str) -> RouteEntry | None:
        """`<pipeline>` or `<client>/<pipeline>`: never outside this client."""
        owner, slash, slug = model.rpartition("/")
        if slash and owner != self.slug:
            return None
        return self.pipelines.get(slug)


@dataclass(frozen=True, slots=True)
class Order:
    """A flip ordered past the database. It stands until the route's serial is newer than the one it overrides.

    `rollout`: whose traffic it overrides. What that one does to the route by itself does not end the order.
    """

    client: str
    pipeline: str
    to_version: int
    serial: int
    rollout: int | None = None

    def is_over(self, entry: RouteEntry) -> bool:
        """Whether `entry` is a later decision; of a rollout's own step nobody knows before the order is settled."""
        return entry.serial > self.serial and (self.rollout is None or entry.rollout_id != self.rollout)


@dataclass(frozen=True, slots=True)
class Routes:
    """The whole picture. Never changed: a new one takes its place."""

    clients: Mapping[int, ClientRoutes] = field(default_factory=dict)
    owner_of_key: Mapping[str, int] = field(default_factory=dict)
    owner_of_agent: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, clients: Mapping[int, ClientRoutes]) -> Routes:
        keys = {digest: client.client_id for client in clients.values() for digest in client.keys}
        agents = {digest: client.client_id for client in clients.values() for digest in client.agents}
        return cls(clients, keys, agents)

    def client_of(self, digest: str) -> ClientRoutes | None:
        owner = self.owner_of_key.get(digest)
        return None if owner is None else self.clients.get(owner)

    def agent_of(self, digest: str) -> tuple[ClientRoutes, Seat] | None:
        owner = self.owner_of_agent.get(digest)
        client = None if owner is None else self.clients.get(owner)
        return None if client is None else (client, client.agents[digest])

    def entry(self, client: str, pipeline: str) -> RouteEntry | None:
        found = next((c for c in self.clients.values() if c.slug == client), None)
        return None if found is None else found.pipelines.get(pipeline)

    def with_orders(self, orders: Mapping[tuple[str, str], Order]) -> Routes:
        """The same picture with the standing flips laid over it."""
        if not orders:
            return self
        return replace(self, clients={key: _ordered(client, orders) for key, client in self.clients.items()})


def _ordered(client: ClientRoutes, orders: Mapping[tuple[str, str], Order]) -> ClientRoutes:
    changed = dict(client.pipelines)
    for slug, entry in client.pipelines.items():
        order = orders.get((client.slug, slug))
        if order is not None and entry.serial <= order.serial:
            changed[slug] = entry.flipped(order.to_version)
    return replace(client, pipelines=changed)
