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
    sqlite: str = ""  # Where that database has other words for it.


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
    "agent_by_digest": Crossing(
        (("p_digest", "text"),),
        ("client_id", "id"),
        "SELECT client_id, id FROM tenants_hostagent WHERE digest = {p_digest} AND revoked_at IS NULL",
    ),
    "agents_called": Crossing(
        (),
        ("agent_id", "call_id"),
        "SELECT agent_row_id, MAX(id) FROM tenants_hostcall WHERE claimed_at IS NULL GROUP BY agent_row_id",
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
# How often something was tried, as `late_notices` asks.
TRIES = ("untried", "once", "twice", "thrice", "more")


def _place(column: str, words: tuple[str, ...]) -> str:
    cases = " ".join(f"WHEN '{word}' THEN {place}" for place, word in enumerate(words))
    return f"CASE {column} {cases} ELSE {len(words)} END"


def _among(words: tuple[str, ...]) -> str:
    return ", ".join(f"'{word}'" for word in words)


CROSSINGS |= {
    "due_jobs": Crossing(
        NOW,
        ("client_id", "id", "queue"),
        _due("pipelines_job").replace("client_id, id", f"client_id, id, {_place('queue', QUEUES)}"),
    ),
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
    "late_jobs": Crossing(
        (("p_now", "timestamptz"),),
        ("queue", "n"),
        f"SELECT {_place('queue', QUEUES)}, COUNT(*) FROM pipelines_job "
        "WHERE due_at IS NOT NULL AND due_at <= {p_now} GROUP BY 1",
    ),
    # What workers of ours took or worked on since then: whoever has a job says so every second. Machines are not ours.
    "worked_since": Crossing(
        (("p_since", "timestamptz"), ("p_queue", "text")),
        ("n",),
        "SELECT COUNT(*) FROM pipelines_job WHERE queue = {p_queue} AND machine IS NULL AND heartbeat_at > {p_since} "
        "AND (due_at IS NOT NULL OR finished_at > {p_since})",
    ),
    # Waiting mails, by how often they were tried: each try puts `due_at` off. What a server says of one mailbox makes
    # nothing late; that no server was met does, and a try that ended without a word.
    "late_notices": Crossing(
        (*((f"p_{times}", "timestamptz") for times in TRIES), ("p_limit", "int")),
        ("client_id", "id"),
        "SELECT client_id, id FROM pipelines_notice WHERE due_at IS NOT NULL AND due_at <= CASE attempts "
        "WHEN 0 THEN {p_untried} WHEN 1 THEN {p_once} WHEN 2 THEN {p_twice} WHEN 3 THEN {p_thrice} ELSE {p_more} END "
        "AND (attempts = 0 OR error = '' OR detail->>'away' IS NOT NULL) ORDER BY due_at LIMIT {p_limit}",
    ),
    "hosts": Crossing(
        (),
        ("is_down", "n"),
        "SELECT CASE WHEN facts->>'error' IS NULL THEN 0 ELSE 1 END, COUNT(*) FROM tenants_host "
        "WHERE is_enabled GROUP BY 1",
    ),
}


# All due jobs of a queue in the order of their turns: agencies by turns, in each its clients by turns, and whoever was
# served longest ago first. A client with as many running jobs as it may have (0: no bound) is left out.
_IN_TURN = """
SELECT job.agency_id, job.client_id, job.id, ROW_NUMBER() OVER (
    ORDER BY job.agency_place, agency.served_at NULLS FIRST, job.served_at NULLS FIRST, job.due_at, job.id) AS place
FROM (
    SELECT near.*, ROW_NUMBER() OVER (PARTITION BY near.agency_id
        ORDER BY near.client_place, near.served_at NULLS FIRST, near.due_at, near.id) AS agency_place
    FROM (
        SELECT due.agency_id, due.client_id, due.id, due.due_at, turn.served_at,
            ROW_NUMBER() OVER (PARTITION BY due.client_id ORDER BY due.due_at, due.id) AS client_place
        FROM pipelines_job due
        LEFT JOIN pipelines_turn turn ON turn.client_id = due.client_id AND turn.queue = due.queue
        LEFT JOIN (
            SELECT client_id, COUNT(*) AS n FROM pipelines_job
            WHERE due_at > {p_now} AND queue = {p_queue} AND status = 'running' GROUP BY client_id
        ) busy ON busy.client_id = due.client_id
        WHERE due.due_at IS NOT NULL AND due.due_at <= {p_now} AND due.queue = {p_queue}
            AND ({p_most} = 0 OR COALESCE(busy.n, 0) < {p_most})
    ) near
) job LEFT JOIN (
    SELECT agency_id, MAX(served_at) AS served_at FROM pipelines_turn WHERE queue = {p_queue} GROUP BY agency_id
) agency ON agency.agency_id = job.agency_id
"""
_OF_QUEUE = (("p_now", "timestamptz"), ("p_queue", "text"), ("p_most", "int"))
# How many jobs of a queue are being worked on, how many ended lately, and how long those took on the average.
_PACE = """
SELECT (SELECT COUNT(*) FROM pipelines_job WHERE due_at > {p_now} AND queue = {p_queue} AND status = 'running'),
    COUNT(*), CAST(COALESCE(AVG(ended.ms), 0) AS bigint)
FROM (
    SELECT EXTRACT(EPOCH FROM finished_at - started_at) * 1000 AS ms FROM pipelines_job
    WHERE queue = {p_queue} AND finished_at <= {p_now} AND started_at IS NOT NULL ORDER BY finished_at DESC LIMIT 100
) ended
"""
CROSSINGS |= {
    "jobs_in_turn": Crossing(
        (*_OF_QUEUE, ("p_limit", "int")),
        ("client_id", "id"),
        f"SELECT client_id, id FROM ({_IN_TURN}) line ORDER BY place LIMIT {{p_limit}}",
    ),
    "places_of_agency": Crossing(
        (*_OF_QUEUE, ("p_agency", "bigint")),
        ("id", "place"),
        f"SELECT id, place FROM ({_IN_TURN}) line WHERE agency_id = {{p_agency}}",
    ),
    "pace_of_queue": Crossing(
        (("p_now", "timestamptz"), ("p_queue", "text")),
        ("running", "ended", "mean_ms"),
        _PACE,
        _PACE.replace(
            "EXTRACT(EPOCH FROM finished_at - started_at) * 1000",
            "(julianday(finished_at) - julianday(started_at)) * 86400000",
        ),
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
            named = {param: f"%({param})s" for param, _ in crossing.params}
            cursor.execute((crossing.sqlite or crossing.sql).format(**named), dict(zip(named, values, strict=True)))
        return cursor.fetchall()


def due(name: str, now: datetime, limit: int = 100) -> list[tuple[int, ...]]:
    """(client_id, id) of rows whose time has come; of jobs with their queue's place in QUEUES."""
    return ask(name, now=now, limit=limit)
