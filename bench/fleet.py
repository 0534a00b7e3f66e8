"""A fleet on a virtual clock: real triggers, engine, queues and PostgreSQL; trainings that only take time.

Every pipeline is due on the first Tuesday at 04:00, in three time zones. Some of them (--played) are played from there
until the last run is over; the rest of the fleet and its year are then written as those left it, and the pages are
asked at that size. Looks at triggers that find nothing (one each five minutes for each pipeline) are left out.

missed, doubled: due times without a run, and runs or jobs beyond the first for one due time, of those played.
queue_wait_*: from a job's making to its claim, virtual time. expected_off_p50_s: between the real start and the one
that the page told, virtual time. cpu_ms_a_run: of this process, not of the database. overview_p50_ms_after_a_year,
*_p50_ms: whole requests in this process, signed in; *_cpu_ms, *_queries beside each. rows_*, mb_*: the largest tables.
Exits 1 if a run was missed or doubled.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

from bench.report import Figure, at_most, exactly, report

BEGIN = datetime(2026, 4, 6, 12, 0, tzinfo=UTC)
END = BEGIN + timedelta(days=4)
ZONES = ("Europe/Madrid", "America/New_York", "Asia/Tokyo")
RULE = "FREQ=MONTHLY;BYDAY=+1TU"
MONTHS, ROUNDS = 12, 9
TARGETS = {
    "missed": exactly(0),
    "doubled": exactly(0),
    "overview_p50_ms_after_a_year": at_most(60),
}
TABLES = (
    """SELECT relname, n_live_tup, pg_total_relation_size(relid) FROM pg_stat_user_tables ORDER BY 3 DESC LIMIT 7"""
)


def main() -> int:
    asked = _asked()
    with tempfile.TemporaryDirectory(prefix="retune-bench-") as folder, ExitStack() as stack:
        owner_url = _set_up(folder, stack)
        each = max(1, asked.pipelines // asked.clients)
        pipelines = _grow(max(1, asked.played // each), each)
        figures: dict[str, Figure] = {"clients": asked.clients, "pipelines": each * asked.clients}
        figures |= _play(pipelines, asked.workers)
        figures |= _fill(owner_url, pipelines[0], asked.clients) | _pages()
    report("fleet", figures, TARGETS, asked.json)
    return 1 if figures["missed"] or figures["doubled"] else 0


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--pipelines", type=int, default=5000, help="of all clients together")
    parser.add_argument("--played", type=int, default=300, help="pipelines whose first Tuesday is played")
    parser.add_argument("--workers", type=int, default=40, help="of the queue gpu; cpu has half as many")
    return parser.parse_args()


def _set_up(folder: str, stack: ExitStack) -> str:
    """Django on a throw-away PostgreSQL, as the app's role; gives the owner's URL."""
    os.environ |= {"RETUNE_VAR": folder, "RETUNE_ENGINE": "eager", "RETUNE_LOG_LEVEL": "ERROR"}
    os.environ |= {"RETUNE_SCHEDULE_SPREAD_S": "900"}
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "agency.settings")
    import django

    django.setup()
    from django.conf import settings
    from django.core.management import call_command

    from tests import servers
    from tests.installation import as_default, install

    settings.ALLOWED_HOSTS = ["*"]
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    call_command("collectstatic", verbosity=0, interactive=False)
    installation = install(stack.enter_context(servers.postgres_server()))
    stack.enter_context(as_default(installation.app_url))
    return installation.owner_url


def _grow(clients: int, each: int) -> list[Any]:
    """One agency's clients with so many pipelines each."""
    from tests import factories
    from tests.fleet import body

    agency, made = factories.make_agency("north"), list[Any]()
    for number in range(clients):
        client = factories.make_client(agency, f"client-{number}", ZONES[number % len(ZONES)])
        made += [factories.make_pipeline(client, f"task-{n}", **body(RULE, "04:00")) for n in range(each)]
    return made


def _play(pipelines: list[Any], workers: int) -> dict[str, Figure]:
    from pipelines.models import Run
    from tests import factories
    from tests.fleet import Fleet, occasions, played

    _look_at(pipelines)
    fleet = Fleet(pipelines, BEGIN, {"gpu": workers, "cpu": max(1, workers // 2)}, killed_share=0.01)
    wall, cpu = time.perf_counter(), time.process_time()
    with played(fleet):
        fleet.play(END)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    missed, doubled, live = 0, sum(n - 1 for n in fleet.landed.values()), 0
    for pipeline in pipelines:
        met, due = occasions(pipeline), _due(pipeline)
        missed += due not in met
        doubled += sum(n - 1 for n in met.values()) + len(met.keys() - {due})
        with factories.inside(pipeline):
            live += Run.objects.filter(pipeline=pipeline, finished_at=None).count()
    waits, off = sorted(fleet.waits_s), sorted(abs(seconds) for seconds in fleet.off_s)
    return {
        "missed": missed,
        "doubled": doubled,
        "played": len(pipelines),
        "still_live": live,
        "gpu_workers": workers,
        "queue_wait_p50_s": _at(waits, 0.5),
        "queue_wait_p95_s": _at(waits, 0.95),
        "expected_off_p50_s": _at(off, 0.5),
        "expected_asked": len(off),
        "cpu_ms_a_run": 1000 * cpu / len(pipelines),
        "wall_s": wall,
    }


def _look_at(pipelines: list[Any]) -> None:
    """From here on; slots before are nobody's."""
    from pipelines.models import PipelineState
    from tenants import scope

    with scope.agency_scope(pipelines[0].agency_id):
        PipelineState.objects.update(due_at=BEGIN, schedule_seen_at=BEGIN)


def _due(pipeline: Any) -> datetime:
    from zoneinfo import ZoneInfo

    return datetime(2026, 4, 7, 4, 0, tzinfo=ZoneInfo(pipeline.client.timezone)).astimezone(UTC)


def _at(values: list[float], share: float) -> float | None:
    return values[min(len(values) - 1, int(share * len(values)))] if values else None


def _fill(owner_url: str, pipeline: Any, clients: int) -> dict[str, Figure]:
    """The fleet up to its size, and a year's runs of each pipeline as one that was played left them.

    Gives rows and sizes of tables.
    """
    import psycopg

    from pipelines.models import Run
    from tests import factories

    with factories.inside(pipeline):
        told = Run.objects.filter(pipeline=pipeline).latest("number")
    with psycopg.connect(owner_url, autocommit=True) as owner:
        _copy_clients(owner, pipeline.client, clients)
        owner.execute(_copied_runs(), {"run": told.pk, "months": MONTHS})
        for model in _children():
            owner.execute(_copied(model), {"run": told.pk})
        owner.execute(
            """UPDATE pipelines_pipelinestate s SET latest_run_id = r.id, last_run_number = r.number
            FROM pipelines_run r WHERE r.pipeline_id = s.pipeline_id AND r.number = 1000 + %s""",
            [MONTHS],
        )
        owner.execute("VACUUM ANALYZE")
        found = owner.execute(TABLES).fetchall()
    figures: dict[str, Figure] = {}
    for name, rows, size in found:
        figures |= {f"rows_{name}": rows, f"mb_{name}": round(size / 2**20, 1)}
    return figures


def _copy_clients(owner: Any, client: Any, clients: int) -> None:
    """Further clients with pipelines, settings and states like the first one's."""
    from pipelines.models import PipelineState
    from tenants.models import Client, Pipeline, SettingsRevision

    known = owner.execute("SELECT COUNT(*) FROM tenants_client").fetchone()[0]
    names = {name: f"'client-' || ({known - 1} + n)" for name in ("name", "slug")}
    of_first = f"t.client_id = {client.pk}"
    new = {"agency_id": "c.agency_id", "client_id": "c.id"}
    many = f"tenants_client t, generate_series(1, {clients - known}) n WHERE t.id = {client.pk}"
    owner.execute(_insert(Client, names, many))
    last = owner.execute("SELECT MAX(client_id) FROM tenants_pipeline").fetchone()[0]
    source = f"tenants_client c, tenants_pipeline t WHERE {of_first} AND c.id > {last}"
    owner.execute(_insert(Pipeline, new | {"revision_id": "NULL"}, source))
    linked = f"tenants_pipeline p JOIN tenants_pipeline f ON f.slug = p.slug AND f.client_id = {client.pk}"
    new = {"agency_id": "p.agency_id", "client_id": "p.client_id", "pipeline_id": "p.id"}
    for model in (SettingsRevision, PipelineState):
        more = {"production_id": "NULL", "latest_run_id": "NULL", "due_at": "NULL"}
        source = f"{linked} JOIN {model._meta.db_table} t ON t.pipeline_id = f.id WHERE p.client_id > {last}"
        owner.execute(_insert(model, new | more, source))
    owner.execute(
        """UPDATE tenants_pipeline p SET revision_id = r.id FROM tenants_settingsrevision r
        WHERE r.pipeline_id = p.id AND p.revision_id IS NULL"""
    )


def _children() -> list[Any]:
    """Every kind of row that a run leaves."""
    from django.apps import apps

    from pipelines.models import Run

    return [
        model
        for model in apps.get_app_config("pipelines").get_models()
        if any(field.column == "run_id" and field.related_model is Run for field in model._meta.concrete_fields)
    ]


def _copied_runs() -> str:
    from pipelines.models import Run

    given = {name: f"p.{name}" for name in ("agency_id", "client_id", "revision_id")}
    given |= {"pipeline_id": "p.id", "number": "1000 + m", "status": "'rejected'", "due_at": "NULL"}
    given |= {
        name: f"t.{name} - make_interval(days => 30 * (%(months)s - m))" for name in ("created_at", "finished_at")
    }
    source = "tenants_pipeline p, generate_series(1, %(months)s) m, pipelines_run t WHERE t.id = %(run)s"
    return _insert(Run, given, source)


def _copied(model: Any) -> str:
    given = {"agency_id": "r.agency_id", "client_id": "r.client_id", "run_id": "r.id", "pipeline_id": "r.pipeline_id"}
    given |= {"occasion": "t.occasion || ' ' || r.number", "due_at": "NULL"}
    given |= {"key": "t.key || ' ' || r.number"}
    for field in model._meta.concrete_fields:
        if field.get_internal_type() == "DateTimeField" and field.column != "due_at":
            given[field.column] = f"t.{field.column} - (first.created_at - r.created_at)"
        if field.unique and field.get_internal_type() == "CharField" and field.column not in given:
            given[field.column] = f"t.{field.column} || ' ' || r.id"
    source = f"""pipelines_run r, pipelines_run first, {model._meta.db_table} t
        WHERE r.number > 1000 AND first.id = %(run)s AND t.run_id = first.id"""
    return _insert(model, given, source)


def _insert(model: Any, given: dict[str, str], source: str) -> str:
    columns = [field.column for field in model._meta.concrete_fields if not field.primary_key]
    values = [given.get(column, f"t.{column}") for column in columns]
    return f"INSERT INTO {model._meta.db_table} ({', '.join(columns)}) SELECT {', '.join(values)} FROM {source}"


def _pages() -> dict[str, Figure]:
    from django.test import Client as Browser
    from django.urls import reverse

    from tenants.models import Agency, Role
    from tests import factories

    browser = Browser()
    browser.force_login(factories.make_member(Agency.objects.get(), Role.OWNER))
    where = ["client-0", "task-0"]
    paths = {"client": reverse("client", args=where[:1]), "pipeline": reverse("pipeline", args=where)}
    paths |= {"runs": reverse("runs", args=where), "run": reverse("run", args=[*where, 1001])}
    figures: dict[str, Figure] = {}
    for name, path in ({"overview": "/"} | paths).items():
        figures |= _page(browser, name, path)
    return figures


def _page(browser: Any, name: str, path: str) -> dict[str, Figure]:
    """Medians of (wall, processor) time and the number of queries of a page that answers 200."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    took = []
    for _round in range(ROUNDS):
        wall, cpu = time.perf_counter(), time.process_time()
        response = browser.get(path)
        took.append((time.perf_counter() - wall, time.process_time() - cpu))
        if response.status_code != 200:
            raise RuntimeError(f"{path} answered {response.status_code}")
    with CaptureQueriesContext(connection) as seen:
        browser.get(path)
    wall_ms, cpu_ms = (1000 * statistics.median(one[n] for one in took[2:]) for n in (0, 1))
    after = "_after_a_year" if name == "overview" else ""
    return {f"{name}_p50_ms{after}": wall_ms, f"{name}_cpu_ms": cpu_ms, f"{name}_queries": len(seen)}


if __name__ == "__main__":
    sys.exit(main())
