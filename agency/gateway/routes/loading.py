"""Reading one client's routes from the database, inside that client's scope."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.utils.timezone import now

from agency.gateway.routes.snapshot import Allowance, ClientRoutes, Place, RouteEntry, Seat, Target
from pipelines import usage
from pipelines.models import ModelVersion, Placement, Rollout, Route
from tenants.billing import caps
from tenants.models import ApiKey, CapKind, Client, HostAgent
from tenants.models.host import AGENT
from tenants.pipeline_settings import Bodies, OutputFormat
from tenants.scope import client_scope

GATEWAY_VERB = "gateway"


def load_client(client_id: int) -> ClientRoutes | None:
    """Keys, routes and placements of one client in a handful of queries; None when the client is gone."""
    with client_scope(client_id):
        client = Client.objects.filter(pk=client_id).first()
        if client is None:
            return None
        routes = list(
            Route.objects.filter(client_id=client_id).select_related("pipeline__revision", "production", "candidate")
        )
        places = _places(client_id, [route.pipeline_id for route in routes])
        entries = {route.pipeline.slug: _entry(route, places.get(route.pipeline_id, {})) for route in routes}
        keys = _keys(client_id)
        agents = {row.digest: Seat(row.pk, row.host.name) for row in HostAgent.working().filter(client_id=client_id)}
    serial = max((route.serial for route in routes), default=0)
    allowances = {key.digest: _allowance(key) for key in keys if key.is_limited}
    digests = frozenset(key.digest for key in keys)
    named = (client_id, client.slug, digests, entries, serial, allowances)
    return ClientRoutes(*named, *_barred(client, now()), agents=agents)


def _barred(client: Client, at: datetime) -> tuple[str, float]:
    """Why the client may ask nothing more this month, and until when."""
    used = usage.counting(CapKind.TOKENS, client.agency_id, at)
    why = caps.passed(CapKind.TOKENS, client.agency_id, client.pk, used)
    return (why, usage.month_end(at).timestamp()) if why else ("", 0.0)


def _keys(client_id: int) -> list[ApiKey]:
    rows = ApiKey.objects.filter(client_id=client_id, revoked_at__isnull=True)
    return [key for key in rows if GATEWAY_VERB in key.verbs]


def _allowance(key: ApiKey) -> Allowance:
    return Allowance(key.requests_per_minute, key.tokens_per_minute)


def _places(client_id: int, pipeline_ids: list[int]) -> dict[int, dict[int, list[Placement]]]:
    """Placements by pipeline and version number, hosts by name."""
    rows = Placement.objects.filter(
        client_id=client_id, status="placed", host__is_enabled=True, version__pipeline_id__in=pipeline_ids
    )
    found: dict[int, dict[int, list[Placement]]] = {}
    for row in rows.select_related("version", "host").order_by("host__name"):
        found.setdefault(row.version.pipeline_id, {}).setdefault(row.version.number, []).append(row)
    return found


def _entry(route: Route, placed: dict[int, list[Placement]]) -> RouteEntry:
    targets = {number: _target(rows[0].version, rows) for number, rows in placed.items()}
    for version in (route.production, route.candidate):
        if version is not None and version.number not in targets:
            targets[version.number] = _target(version, [])
    return RouteEntry(
        pipeline_id=route.pipeline_id,
        client_id=route.client_id,
        agency_id=route.agency_id,
        slug=route.pipeline.slug,
        serial=route.serial,
        production=route.production.number,
        candidate=None if route.candidate is None else route.candidate.number,
        candidate_bp=route.candidate_bp,
        rollout_id=route.rollout_id,
        output=_output(route.pipeline.revision),
        targets=targets,
        previous=_previous(route),
        bodies=bodies_of(route.pipeline.revision),
    )


def _previous(route: Route) -> int | None:
    """As `pipelines.shipping.rollback.default_target` answers outside a canary."""
    rollouts = Rollout.objects.filter(version=route.production, previous__status="archived").order_by("-id")
    return rollouts.values_list("previous__number", flat=True).first()


def _target(version: ModelVersion, rows: Iterable[Placement]) -> Target:
    places = tuple(_place(row) for row in _undrained(list(rows)))
    digest, size = version.gguf_digest, version.gguf_bytes
    system = version.system if version.replaces_system else ""
    return Target(version.pk, version.number, digest, size, version.created_at.isoformat(), places, system)


def _undrained(rows: list[Placement]) -> list[Placement]:
    """A drained host keeps only the traffic that nobody else can take.

    An agent answers those beside it, whom no other host can reach, and takes no traffic of ours.
    """
    direct = [row for row in rows if row.host.kind != AGENT]
    left_out = [row for row in direct if row.host.is_drained]
    return rows if left_out == direct else [row for row in rows if row not in left_out]


def _place(row: Placement) -> Place:
    host = row.host
    sealed_for = host.place if host.sealed else ""
    url = "" if host.kind == AGENT else host.url.rstrip("/")
    return Place(host.name, url, row.model_name, _version(row), sealed_for, host.sealed)


def _version(row: Placement) -> str:
    return str(row.host.facts.get("version", ""))


def bodies_of(revision: Any) -> dict[str, Any]:
    """How bodies are kept, where the client opted in."""
    chosen = Bodies().model_dump() | ((revision.body if revision else {}).get("bodies") or {})
    return {name: chosen[name] for name in ("max_bytes", "redaction")} if chosen["keep"] else {}


def _output(revision: Any) -> dict[str, Any]:
    """The shape that the settings promise of an answer."""
    output = ((revision.body if revision else {}).get("criteria") or {}).get("output") or {}
    return OutputFormat.model_validate(output).promised
