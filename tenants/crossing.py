"""The only raw SQL: look-ups across clients, which answer ids, and counts of the whole installation, only.

On PostgreSQL each is a SECURITY DEFINER function.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection


@dataclass(frozen=True)
class Crossing:
    """A named question across tenants.

    `params` are (name, PostgreSQL type), `returns` the bigint columns it answers.
    """

    params: tuple[tuple[str, str], ...]
    returns: tuple[str, ...]
    sql: str


NOW = (("p_now", "timestamptz"), ("p_limit", "int"))


def _due(table: str) -> str:
    """The table's partial index on due_at serves this: it costs what is due, not what is there."""
    where = "due_at IS NOT NULL AND due_at <= {p_now}"
    return f"SELECT client_id, id FROM {table} WHERE {where} ORDER BY due_at LIMIT {{p_limit}}"


CROSSINGS: dict[str, Crossing] = {
    "due_runs": Crossing(
        NOW,
        ("client_id", "id"),
        _due("pipelines_run"),
    ),
    "due_jobs": Crossing(
        NOW,
        ("client_id", "id"),
        _due("pipelines_job"),
    ),
    "due_triggers": Crossing(
        NOW,
        ("client_id", "id"),
        _due("pipelines_pipelinestate"),
    ),
    "due_imports": Crossing(
        NOW,
        ("client_id", "id"),
        _due("pipelines_batch"),
    ),
    "due_hosts": Crossing(
        NOW,
        ("client_id", "id"),
        _due("tenants_host"),
    ),
    "due_notices": Crossing(
        NOW,
        ("client_id", "id"),
        _due("pipelines_notice"),
    ),
    "due_deliveries": Crossing(
        NOW,
        ("client_id", "id"),
        _due("pipelines_delivery"),
    ),
    "due_digests": Crossing(
        NOW,
        ("agency_id", "id"),
        _due("tenants_mailchoice").replace("client_id", "agency_id"),
    ),
    "memberships_of_user": Crossing(
        (("p_user", "bigint"),),
        ("agency_id", "client_id", "id"),
        "SELECT agency_id, client_id, id FROM tenants_membership WHERE user_id = {p_user} ORDER BY id",
    ),
    "key_by_digest": Crossing(
        (("p_digest", "text"),),
        ("client_id", "id"),
        "SELECT client_id, id FROM tenants_apikey WHERE digest = {p_digest} AND revoked_at IS NULL",
    ),
    "machine_by_digest": Crossing(
        (("p_digest", "text"),),
        ("agency_id", "id"),
        "SELECT agency_id, id FROM tenants_machine WHERE digest = {p_digest} AND revoked_at IS NULL",
    ),
    "invitation_by_digest": Crossing(
        (("p_digest", "text"),),
        ("agency_id", "id"),
        "SELECT agency_id, id FROM tenants_invitation WHERE digest = {p_digest}",
    ),
    "share_by_digest": Crossing(
        (("p_digest", "text"),),
        ("agency_id", "client_id", "id"),
        "SELECT agency_id, client_id, id FROM tenants_sharelink WHERE digest = {p_digest}",
    ),
    "routes_since": Crossing(
        (("p_serial", "bigint"),),
        ("client_id", "serial"),
        "SELECT client_id, MAX(serial) FROM pipelines_route WHERE serial > {p_serial} GROUP BY client_id",
    ),
    "traffic_to_roll_up": Crossing(
        (),
        ("agency_id", "client_id"),
        "SELECT DISTINCT agency_id, client_id FROM pipelines_traffic WHERE NOT is_rolled_up",
    ),
    "last_route_serial": Crossing((), ("serial",), "SELECT MAX(serial) FROM pipelines_route"),
    "clients_of_agency": Crossing(
        (("p_agency", "bigint"),),
        ("agency_id", "id"),
        "SELECT agency_id, id FROM tenants_client WHERE agency_id = {p_agency} ORDER BY id",
    ),
    "all_clients": Crossing(
        (),
        ("agency_id", "id"),
        "SELECT agency_id, id FROM tenants_client ORDER BY id",
    ),
}

# What `counted` names: a crossing answers numbers only, these are their words.
LIVE_RUNS = ("queued", "running", "waiting", "held")
ENDED_RUNS = ("succeeded", "skipped", "stopped", "rejected", "rolled_back", "failed", "cancelled")
LIVE_JOBS = ("queued", "running")
QUEUES = ("default", "cpu", "gpu", "push")


def _place(column: str, words: tuple[str, ...]) -> str:
    cases = " ".join(f"WHEN '{word}' THEN {place}" for place, word in enumerate(words))
    return f"CASE {column} {cases} ELSE {len(words)} END"


def _among(words: tuple[str, ...]) -> str:
    return ", ".join(f"'{word}'" for word in words)


CROSSINGS |= {
    "live_runs": Crossing(
        (),
        ("word", "n"),
        f"SELECT {_place('status', LIVE_RUNS)}, COUNT(*) FROM pipelines_run WHERE status IN ({_among(LIVE_RUNS)}) "
        "GROUP BY 1",
    ),
    "ended_runs": Crossing(
        (("p_since", "timestamptz"),),
        ("word", "n"),
        f"SELECT {_place('status', ENDED_RUNS)}, COUNT(*) FROM pipelines_run "
        "WHERE finished_at >= {p_since} GROUP BY 1",
    ),
    "live_jobs": Crossing(
        (),
        ("queue", "word", "n"),
        f"SELECT {_place('queue', QUEUES)}, {_place('status', LIVE_JOBS)}, COUNT(*) FROM pipelines_job "
        "WHERE due_at IS NOT NULL GROUP BY 1, 2",
    ),
    "hosts": Crossing(
        (),
        ("is_down", "n"),
        "SELECT CASE WHEN facts->>'error' IS NULL THEN 0 ELSE 1 END, COUNT(*) FROM tenants_host "
        "WHERE is_enabled GROUP BY 1",
    ),
}


def ask(name: str, **params: Any) -> list[tuple[int, ...]]:
    """Rows of ids. Parameters by the names in CROSSINGS without their `p_`."""
    crossing = CROSSINGS[name]
    values = [params[param.removeprefix("p_")] for param, _ in crossing.params]
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            marks = ", ".join(["%s"] * len(values))
            cursor.execute(f"SELECT * FROM retune_{name}({marks})", values)
        else:
            cursor.execute(crossing.sql.format(**{param: "%s" for param, _ in crossing.params}), values)
        return cursor.fetchall()


def due(name: str, now: datetime, limit: int = 100) -> list[tuple[int, int]]:
    """(client_id, id) of rows whose time has come."""
    return [(row[0], row[1]) for row in ask(name, now=now, limit=limit)]
