"""Staff and client pages at the size of an agency: 500 clients, 40 runs each, on a SQLite file of its own.

overview_queries_at_*: must be equal. overview_p50_ms_500_clients: a whole request in this process, signed in.
vs_n_plus_1: the same lines asked for client by client. page_p50_ms, month_p50_ms: the slowest of the other staff pages,
and a client's month. Beside each: the least processor time of all rounds, to which a busy machine adds least, and
`bare_page_cpu_ms`, that of a page with one small form: what a signed-in request costs before any work.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from bench.ground import begin_django, dress
from bench.report import Figure, at_least, at_most, report, wants_json

FEW, MANY, RUNS, ROUNDS = 50, 500, 40, 15
MONTHLY = {"schedule": {"rule": "FREQ=MONTHLY;BYDAY=+1TU", "at": "04:00"}}
TARGETS = {
    "overview_p50_ms_500_clients": at_most(60),
    "vs_n_plus_1": at_least(30),
    "page_p50_ms": at_most(60),
    "month_p50_ms": at_most(60),
}
STAFF = ("gate-log", "rollback-log", "agency-audit", "people", "value", "presets", "bulk-change", "jump")
OF_ONE = (
    "client",
    "pipeline",
    "runs",
    "run",
    "versions",
    "version",
    "settings",
    "data",
    "timeline",
    "ledger",
    "traffic",
)


def main() -> None:
    as_json = wants_json()
    with tempfile.TemporaryDirectory(prefix="retune-bench-") as folder:
        _set_up(Path(folder))
        figures = measure()
    report("portal", figures, TARGETS, as_json)


def _set_up(folder: Path) -> None:
    begin_django(folder, RETUNE_ENGINE="eager")
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    dress()


def measure() -> dict[str, Figure]:
    from django.test import Client as Browser

    from tenants.models import Role
    from tests import factories

    agency = factories.make_agency("north")
    browser = Browser()
    browser.force_login(factories.make_member(agency, Role.OWNER))
    figures: dict[str, Figure] = {}
    for count in (FEW, MANY):
        _grow(agency, count)
        figures[f"overview_queries_at_{count}_clients"] = _queries(lambda: browser.get("/"))
    figures["bare_page_cpu_ms"] = _timed(lambda: browser.get("/new-client/"))[1]
    wall_ms, cpu_ms = _timed(lambda: browser.get("/"))
    naive_ms = _timed(lambda: _n_plus_1(agency), 3)[1]
    figures |= {"overview_p50_ms_500_clients": wall_ms, "overview_cpu_ms": cpu_ms}
    figures["vs_n_plus_1"] = naive_ms / _timed(lambda: _lines(agency))[1]
    found = {name: _timed(partial(_fetch, browser, path)) for name, path in _paths().items()}
    slowest = max(found, key=lambda name: found[name][1])
    figures |= {"page_p50_ms": found[slowest][0], "page_cpu_ms": found[slowest][1], "slowest_page": slowest}
    figures["all_pages_cpu_ms"] = ", ".join(f"{name} {cpu:.0f}" for name, (_wall, cpu) in found.items())
    month = _timed(lambda: _fetch(browser, "/report/client-0/"))
    figures |= {"month_p50_ms": month[0], "month_cpu_ms": month[1]}
    figures["month_queries"] = _queries(lambda: _fetch(browser, "/report/client-0/"))
    return figures


def _grow(agency: Any, count: int) -> None:
    """Clients up to `count`, each with one pipeline, forty runs and a version in production; the first is rich."""
    from tests import factories

    for number in range(_clients(agency), count):
        pipeline = factories.make_pipeline(factories.make_client(agency, f"client-{number}"), triggers=MONTHLY)
        factories.make_production(pipeline)
        _many_runs(pipeline)


def _clients(agency: Any) -> int:
    from tenants import scope
    from tenants.models import Client

    with scope.agency_scope(agency.pk):
        return Client.objects.count()


def _many_runs(pipeline: Any) -> None:
    from pipelines.models import PipelineState, Run, StageRun
    from tests import factories

    with factories.inside(pipeline):
        begin = factories.NOW - timedelta(days=30 * RUNS)
        runs = [_run(pipeline, 100 + n, begin + timedelta(days=30 * n)) for n in range(RUNS)]
        Run.objects.bulk_create(runs)
        stages = [
            StageRun.of(
                run, run=run, stage=stage, status="done", started_at=run.created_at, finished_at=run.finished_at
            )
            for run in runs
            for stage in factories.STAGES
        ]
        StageRun.objects.bulk_create(stages)
        PipelineState.objects.filter(pipeline=pipeline).update(latest_run=runs[-1], last_run_number=100 + RUNS)


def _run(pipeline: Any, number: int, at: Any) -> Any:
    from pipelines.models import Run

    fields = {"status": "rejected", "stage": "compare", "occasion": {"kind": "schedule"}, "verdict": "rejected"}
    when = {"created_at": at, "finished_at": at + timedelta(hours=1)}
    return Run.of(pipeline, pipeline=pipeline, revision=pipeline.revision, number=number, **fields, **when)


def _paths() -> dict[str, str]:
    from django.urls import reverse

    given = {"slug": "client-0", "pipeline_slug": "support", "number": 1}
    wanted: dict[str, tuple[str, ...]] = {"client": ("slug",), "timeline": ("slug",), "ledger": ("slug",)}
    wanted |= {"run": tuple(given), "version": tuple(given)}
    found = {name: reverse(name) for name in STAFF}
    for name in OF_ONE:
        names = wanted.get(name, ("slug", "pipeline_slug"))
        found[name] = reverse(name, kwargs={key: given[key] for key in names})
    return found


def _fetch(browser: Any, path: str) -> None:
    response = browser.get(path)
    if response.status_code != 200:
        raise RuntimeError(f"{path} answered {response.status_code}")


def _timed(act: Callable[[], object], rounds: int = ROUNDS) -> tuple[float, float]:
    """(median of the wall time, least processor time) in ms, after two rounds that warm up."""
    for _ in range(2):
        act()
    seen = []
    for _ in range(rounds):
        wall, cpu = time.perf_counter(), time.process_time()
        act()
        seen.append((time.perf_counter() - wall, time.process_time() - cpu))
    return statistics.median(w for w, _ in seen) * 1000, min(c for _, c in seen) * 1000


def _queries(act: Callable[[], object]) -> int:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    act()
    with CaptureQueriesContext(connection) as seen:
        act()
    return len(seen)


def _lines(agency: Any) -> None:
    from django.utils import timezone

    from pipelines.reports.overview import Wanted, agency_overview
    from tenants import scope

    with scope.agency_scope(agency.pk):
        shown = agency_overview(Wanted(), timezone.now())
        _page = shown.lines[:25], shown.needing[:20]


def _n_plus_1(agency: Any) -> None:
    """The lines as they are written first: each client asks for its own."""
    from pipelines.models import Example, Run, StageRun
    from tenants import scope
    from tenants.models import Client, Pipeline

    with scope.agency_scope(agency.pk):
        for client in Client.objects.all():
            for pipeline in Pipeline.objects.filter(client=client):
                run = Run.objects.filter(pipeline=pipeline).order_by("-number").first()
                list(StageRun.objects.filter(run=run))
                _label = pipeline.state.production and pipeline.state.production.label
                Example.objects.filter(pipeline=pipeline, state="quarantined").count()


if __name__ == "__main__":
    main()
