"""What an operator's tools read: lines of log with ids, figures for Prometheus, traces that follow a run."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as the_settings
from django.test import Client as Browser
from django.utils.timezone import now
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from prometheus_client.parser import text_string_to_metric_families

from agency.gateway.app import Gateway
from agency.gateway.meter import prometheus
from agency.telemetry.logs import logging_of
from pipelines.engine.doing import doing, facts
from pipelines.models import Job, Run
from tenants import scope
from tenants.models import Host
from tests import factories

DASHBOARD = Path(the_settings.ROOT, "docs/reference/grafana-dashboard.json")


def figures(browser: Browser) -> dict[tuple[str, ...], float]:
    page = browser.get("/metrics/installation", headers={"Authorization": "Bearer scrape"})
    assert page.status_code == 200
    families = text_string_to_metric_families(page.text)
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def test_the_figures_are_those_of_every_client(anonymous: Browser, settings: Any, db: None) -> None:
    settings.PROMETHEUS_TOKEN = "scrape"
    before = figures(anonymous)
    run, other = factories.make_run(), factories.make_run()
    with factories.inside(run):
        Run.objects.filter(pk=run.pk).update(due_at=now() - timedelta(minutes=5))
        job = {"kind": "bring", "queue": "push", "stage": "deploy", "created_at": now()}
        Job.of(run, run=run, due_at=now() - timedelta(minutes=4), **job).save()
        Host.of(run, name="gone", url="http://127.0.0.1:9", facts={"error": "nobody answers"}).save()
    with factories.inside(other):
        ended = {"status": "rejected", "finished_at": now() - timedelta(hours=2), "due_at": None}
        Run.objects.filter(pk=other.pk).update(**ended)

    found = {name: value - before[name] for name, value in figures(anonymous).items() if value != before[name]}

    found.pop(("retune_disk_free_bytes",), None)
    assert found[("retune_live_runs", run.status)] == 1
    assert found[("retune_ended_runs_day", "rejected")] == 1
    assert found[("retune_late", "60", "runs")] == 1 and ("retune_late", "600", "runs") not in found
    assert found[("retune_late_jobs", "60", "push")] == 1 and ("retune_late_jobs", "600", "push") not in found
    assert found[("retune_hosts", "down")] == 1
    assert found[("retune_well", "ticks")] == -1


@pytest.mark.parametrize("token, status", [("", 404), ("scrape", 401)])
def test_the_figures_are_behind_a_token(anonymous: Browser, settings: Any, token: str, status: int, db: None) -> None:
    settings.PROMETHEUS_TOKEN = token
    wrong = {"Authorization": "Bearer wrong"}
    assert anonymous.get("/metrics/installation", headers=wrong).status_code == status


def drawn() -> set[str]:
    """Every figure that a panel of the dashboard asks for."""
    return {
        word
        for panel in json.loads(DASHBOARD.read_text())["panels"]
        for target in panel["targets"]
        for word in target["expr"].replace("{", " ").replace("(", " ").replace("[", " ").replace(")", " ").split()
        if word.startswith("retune_")
    }


@pytest.fixture
def gauges(tmp_path: Path) -> set[str]:
    """What a gateway tells of itself."""
    return {f"retune_gateway_{name}" for name in Gateway("telemetry", tmp_path)._gauges()}


def test_the_dashboard_asks_for_nothing_that_nobody_counts(
    anonymous: Browser, settings: Any, gauges: set[str], db: None
) -> None:
    settings.PROMETHEUS_TOKEN = "scrape"
    told = {name for name, *_ in figures(anonymous)} | gauges
    told |= {f"retune_gateway_{name}_total" for name in prometheus.COUNTERS}
    told |= {f"retune_gateway_{name}_bucket" for name in prometheus.HISTOGRAMS}
    assert drawn() and drawn() <= told


# How much there is, and how busy it is at this moment: nothing to alarm on.
UNDRAWN = {"serial", "clients", "running", "waiting", "meter_written_records"}


def test_the_dashboard_draws_what_a_gateway_says_of_its_health(gauges: set[str]) -> None:
    assert gauges - drawn() == {f"retune_gateway_{name}" for name in UNDRAWN}


def test_every_panel_says_what_it_shows_and_what_to_alarm_on() -> None:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    assert [panel["title"] for panel in panels if len(panel.get("description", "")) < 40] == []


def line(form: str, tell: Any) -> str:
    """What the settings' handler makes of a record that is told while something is being done."""
    made = logging_of(form, "INFO")
    script = f"import logging, logging.config, sys; logging.config.dictConfig({made!r}); {tell}"
    ready = "import os, django; os.environ['DJANGO_SETTINGS_MODULE'] = 'agency.settings'; django.setup(); "
    done = subprocess.run(
        [sys.executable, "-c", ready + script], check=False, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


TELL = """
from pipelines.engine.doing import doing
from tenants.scope import client_scope
with client_scope(7, 3), doing('stage evaluate', run=12):
    with doing('job', job=5):
        try: 1 / 0
        except ZeroDivisionError: logging.getLogger('retune').exception('it %s', 'broke')
logging.getLogger('retune').info('afterwards')
"""


def test_lines_for_people_end_with_whom_they_are_about() -> None:
    said = line("line", f"exec({TELL!r})").splitlines()
    assert said[0].endswith("ERROR retune it broke run=12 job=5 client=7 agency=3")
    assert said[-1].endswith("INFO retune afterwards")


def test_lines_for_machines_are_one_object_each() -> None:
    first, second = (json.loads(text) for text in line("json", f"exec({TELL!r})").splitlines())
    assert (first["level"], first["logger"], first["message"]) == ("ERROR", "retune", "it broke")
    assert (first["run"], first["job"], first["client"], first["agency"]) == (12, 5, 7, 3)
    assert "ZeroDivisionError" in first["exc_info"] and "about" not in first
    assert second["message"] == "afterwards" and "run" not in second


def test_an_answer_names_its_request(anonymous: Browser, db: None) -> None:
    given = anonymous.get("/healthz", headers={"X-Request-Id": "from-the-proxy-1"})
    assert given["X-Request-Id"] == "from-the-proxy-1"
    forged = anonymous.get("/healthz", headers={"X-Request-Id": "short\tor=forged"})
    assert len(forged["X-Request-Id"]) == 32


class Collector(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        self.server.heard.append(ExportTraceServiceRequest.FromString(body))  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_args: Any) -> None:
        return


@pytest.fixture
def collector() -> Iterator[Any]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    server.heard = []  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


SPAN = """
import os, sys, django; django.setup()
from pipelines.engine.doing import doing
from tenants.scope import client_scope
with client_scope(7), doing(sys.argv[1], story=f'run {sys.argv[2]}', run=int(sys.argv[2])):
    pass
from opentelemetry import trace
trace.get_tracer_provider().shutdown()
"""


def test_all_work_on_a_run_is_one_trace_and_no_other_installations(collector: Any, tmp_path: Path) -> None:
    address = f"http://127.0.0.1:{collector.server_port}"
    own = {"RETUNE_OTLP_URL": address, "RETUNE_VAR": str(tmp_path), "DJANGO_SETTINGS_MODULE": "agency.settings"}
    other = {"RETUNE_SECRET_KEY": "another installation's key, long enough to be one"}
    for what, run, more in (
        ("stage", "12", {}),
        ("job", "12", {}),
        ("another run", "13", {}),
        ("elsewhere", "12", other),
    ):
        command = [sys.executable, "-c", SPAN, what, run]
        subprocess.run(command, cwd=the_settings.ROOT, env=os.environ | own | more, check=True, capture_output=True)

    batches = [resource for heard in collector.heard for resource in heard.resource_spans]
    spans = {span.name: span for batch in batches for scoped in batch.scope_spans for span in scoped.spans}
    traces = [spans[name].trace_id for name in ("stage", "job", "another run", "elsewhere")]
    assert traces[0] == traces[1] and len(set(traces)) == 3
    told = {one.key: one.value.int_value for one in spans["stage"].attributes}
    assert told == {"retune.run": 12, "retune.client": 7}


def test_what_was_being_done_is_forgotten_when_it_breaks() -> None:
    with pytest.raises(ZeroDivisionError), scope.client_scope(7), doing("stage", run=1):
        raise ZeroDivisionError
    assert facts() == {}
