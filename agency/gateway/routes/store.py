"""The last routes on disk: a gateway that starts without its database serves what it served before."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from agency.gateway.routes.snapshot import Allowance, ClientRoutes, Order, Place, RouteEntry, Routes, Seat, Target

VERSION = 1
ORJSON = orjson.OPT_NON_STR_KEYS


def save(path: Path, routes: Routes, orders: Mapping[tuple[str, str], Order]) -> None:
    """Written beside and renamed: a reader finds old routes or new ones. Keys are digests; mode 0600 all the same."""
    clients = [document(client) for client in routes.clients.values()]
    body = orjson.dumps({"version": VERSION, "clients": clients, "orders": list(orders.values())}, option=ORJSON)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(f".{os.getpid()}.tmp")
    with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(body)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def document(client: ClientRoutes) -> dict[str, Any]:
    """As JSON keeps it, with dataclasses for orjson to write; `read` is its inverse."""
    names = ("client_id", "slug", "pipelines", "serial", "allowances", "barred", "barred_until", "agents")
    return {name: getattr(client, name) for name in names} | {"keys": sorted(client.keys)}


def load(path: Path) -> tuple[Routes, dict[tuple[str, str], Order]]:
    """Routes and standing orders; empty ones where there is no readable file of this version."""
    try:
        document = orjson.loads(path.read_bytes())
        if document["version"] != VERSION:
            return Routes(), {}
        clients = [read(row) for row in document["clients"]]
        orders = [Order(**row) for row in document["orders"]]
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        return Routes(), {}
    return Routes.of({client.client_id: client for client in clients}), {(o.client, o.pipeline): o for o in orders}


def read(row: dict[str, Any]) -> ClientRoutes:
    """Raises KeyError, TypeError or ValueError for what is no such document."""
    pipelines = {slug: _entry(entry) for slug, entry in row["pipelines"].items()}
    # A file of before there were allowances is as good as it was.
    allowances = {digest: Allowance(**limits) for digest, limits in row.get("allowances", {}).items()}
    agents = {digest: Seat(**seat) for digest, seat in row.get("agents", {}).items()}
    barred = (row.get("barred", ""), row.get("barred_until", 0.0))
    named = (row["client_id"], row["slug"], frozenset(row["keys"]), pipelines, row["serial"], allowances)
    return ClientRoutes(*named, *barred, agents=agents)


def _entry(row: dict[str, Any]) -> RouteEntry:
    targets = {int(number): _target(target) for number, target in row["targets"].items()}
    return RouteEntry(**{**row, "targets": targets})


def _target(row: dict[str, Any]) -> Target:
    return Target(**{**row, "places": tuple(Place(**place) for place in row["places"])})
