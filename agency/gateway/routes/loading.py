"""Reading one client's routes from the database, inside that client's scope."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from agency.gateway.routes.snapshot import ClientRoutes, Place, RouteEntry, Target
from pipelines.models import ModelVersion, Placement, Route
from tenants.models import ApiKey, Client
from tenants.scope import client_scope

GATEWAY_VERB = "gateway"


def load_client(client_id: int) -> ClientRoutes | None:
    """Keys, routes and placements of one client in four queries; None when the client is gone."""
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
    serial = max((route.serial for route in routes), default=0)
    return ClientRoutes(client_id, client.slug, keys, entries, serial)


def _keys(client_id: int) -> frozenset[str]:
    rows = ApiKey.objects.filter(client_id=client_id, revoked_at__isnull=True).values_list("digest", "verbs")
    return frozenset(digest for digest, verbs in rows if GATEWAY_VERB in verbs)


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
    )


def _target(version: ModelVersion, rows: Iterable[Placement]) -> Target:
    places = tuple(Place(row.host.name, row.host.url.rstrip("/"), row.model_name, _version(row)) for row in rows)
    digest, size = version.gguf_digest, version.gguf_bytes
    return Target(version.pk, version.number, digest, size, version.created_at.isoformat(), places)


def _version(row: Placement) -> str:
    return str(row.host.facts.get("version", ""))


def _output(revision: Any) -> dict[str, Any]:
    """The settings' output format as pipelines.metrics.format_check takes it."""
    output = ((revision.body if revision else {}).get("criteria") or {}).get("output") or {}
    match output.get("kind"):
        case "label":
            return {"kind": "label", "labels": list(output.get("labels", ()))}
        case "json":
            return {"kind": "json", "required": list(output.get("fields", ()))}
    return {"kind": "any"}
