"""Secrets are planted everywhere, then every kind of work fails: none is found in a log, a row, a mail, a file or a
process's arguments."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.utils.timezone import now

from agency.mail.compose import compose
from pipelines import actions, plan
from pipelines.engine import jobs
from pipelines.heavy import build, measure, preflight, push, train
from pipelines.models import Job, Notice, Run
from pipelines.outbound import Access
from tenants.crypto import sealing
from tenants.models import EvalCase, EvalSet, Host, Pipeline
from tests import factories
from tests.flow.test_line import later, start

WORD = "planted-secret"
REAL = {
    "preflight": preflight.work,
    "train": train.work,
    "build": build.work,
    "evaluate": measure.work,
    "push": push.work,
}
IN_SETTINGS = {
    "SECRET_KEY": "planted-secret-of-the-secret-key-fifty-characters-long-or-more",
    "EMAIL_HOST_PASSWORD": "planted-secret-of-the-mail-server",
    "PROMETHEUS_TOKEN": "planted-secret-of-prometheus",
    "HEARTBEAT_URL": "http://127.0.0.1:9/planted-secret-of-the-heartbeat",
    "JUDGE_KEYS": {"wise": "planted-secret-of-the-judge"},
}
IN_ENVIRONMENT = {
    "RETUNE_SECRET_KEY": IN_SETTINGS["SECRET_KEY"],
    "DATABASE_URL": "postgresql://retune:planted-secret-of-the-database@127.0.0.1/retune",
    "REDIS_URL": "redis://:planted-secret-of-redis@127.0.0.1:6379/0",
    "RETUNE_S3_SECRET_KEY": "planted-secret-of-the-bucket",
    "AWS_SECRET_ACCESS_KEY": "planted-secret-of-the-cloud",
}


class Indiscreet(BaseHTTPRequestHandler):
    """A host that says in its errors what it was sent, as some proxies do when they debug."""

    def _answer(self) -> None:
        body = json.dumps({"error": f"who are you? {dict(self.headers)}"}).encode()
        self.send_response(401)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    do_GET = do_POST = do_HEAD = do_DELETE = _answer

    def log_message(self, *_args: Any) -> None:
        return


@pytest.fixture
def indiscreet(pipeline: Pipeline) -> Iterator[None]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Indiscreet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    row = Host.objects.get(client_id=pipeline.client_id)
    row.url = f"http://127.0.0.1:{server.server_port}"
    row.sealed = sealing.seal(row.place, Access.bearer("planted-secret-of-the-host").fields())
    row.save()
    yield
    server.shutdown()
    server.server_close()


@pytest.fixture(params=REAL)
def kind(request: pytest.FixtureRequest, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The one kind of work that is done in earnest, and cannot succeed."""
    for name, value in IN_SETTINGS.items():
        setattr(settings, name, value)
    for name, value in IN_ENVIRONMENT.items():
        monkeypatch.setenv(name, str(value))
    settings.CONVERTER_DIR = str(tmp_path / "no-converter")
    settings.CHILD_MEMORY_BYTES = 400_000_000
    monkeypatch.setitem(plan.JOBS, request.param, REAL[request.param])
    return str(request.param)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Arguments and environment of every process that is started."""
    seen: list[str] = []
    begin = subprocess.Popen.__init__

    def noted(self: Any, args: Any, *more: Any, **given: Any) -> None:
        seen.append(f"{args} {given.get('env') or os.environ}")
        begin(self, args, *more, **given)

    monkeypatch.setattr(subprocess.Popen, "__init__", noted)
    return seen


@pytest.mark.usefixtures("indiscreet")
def test_no_secret_is_found_after_a_failure(
    kind: str, pipeline: Pipeline, add_rows: Callable[..., None], started: list[str], told: Callable[[], str]
) -> None:
    add_rows(0, 30)
    ask_one_question(pipeline)

    run = brought_down(start(pipeline), kind)

    assert Job.objects.filter(run=run, kind__startswith=kind).exclude(error="").exists()
    assert [line for line in started if WORD in line] == []
    assert [line for line in told().splitlines() if WORD in line] == []


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[[], str]:
    """All that was said: logs, output, rows of every table, mails, and every file that was written."""

    def collect() -> str:
        rows = list(connection.connection.iterdump()) if connection.vendor == "sqlite" else []
        mails = [str(compose(notice)) for notice in Notice.objects.all()]
        files = [path.read_bytes().decode(errors="replace") for path in tmp_path.rglob("*") if path.is_file()]
        return "\n".join([caplog.text, *capfd.readouterr(), *rows, *mails, *files])

    return collect


def ask_one_question(pipeline: Pipeline) -> None:
    """Without a case there would be nothing to measure, and nothing to fail."""
    held = EvalSet.of(pipeline, pipeline=pipeline, kind="heldout", version=1, size=1, created_at=factories.NOW)
    held.save()
    question = [{"role": "user", "content": "Where is my parcel?"}]
    given = {"key": "c1", "messages": question, "expected": {"text": "delivery"}, "input_digest": "0" * 64}
    EvalCase.of(pipeline, eval_set=held, **given).save()


def brought_down(run: Run, kind: str) -> Run:
    """The run when its work of this kind has failed for good; a person lets a first version through to its hosts."""
    for seconds in (0, 120, 600, 2_400, 7_200, 20_000):
        if run.status == "held" and run.stage == "compare":
            actions.approve(run, actor="owner", reason="looks right", now=now())
        for job in Job.objects.filter(run=run, status="queued"):
            jobs.work_on(job.pk, plan.JOBS, partial(_at, seconds))
        run = later(Run.objects.get(pk=run.pk), seconds)
    assert kind == "push" or run.status == "failed"
    assert Notice.objects.filter(run=run).exists()
    return run


def _at(seconds: int) -> datetime:
    return now() + timedelta(seconds=seconds)
