"""Alive, ready, and what the doctor says: what is due late or does not answer is named with what to do."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.db.utils import OperationalError
from django.test import Client as Browser
from django.utils.timezone import now

from agency.health import looks
from pipelines.domain.machines import Needs
from pipelines.machines import offers
from pipelines.models import Job, PipelineState, Run
from tenants.models import Client, User
from tests import factories
from tests.servers import free_port


@pytest.fixture
def no_database(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: Any) -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr(connection, "ensure_connection", gone)
    monkeypatch.setattr(connection, "cursor", gone)


def doctor() -> str:
    said = StringIO()
    with pytest.raises(CommandError):
        call_command("doctor", stdout=said)
    return said.getvalue()


def test_an_installation_without_work_is_ready(anonymous: Browser, db: None) -> None:
    answer = anonymous.get("/readyz")

    assert (answer.status_code, answer.json()) == (200, dict.fromkeys(looks.READY, True))


def test_a_run_that_nobody_wakes_makes_it_unready_and_strangers_learn_no_more(
    anonymous: Browser, acorn: Client
) -> None:
    run = factories.make_run(factories.make_pipeline(acorn), at="trigger")
    with factories.inside(run):
        PipelineState.objects.update(due_at=None)
        Run.objects.filter(pk=run.pk).update(due_at=now() - timedelta(minutes=3))

    answer = anonymous.get("/readyz")

    assert answer.status_code == 503
    assert answer.json() == dict.fromkeys(looks.READY, True) | {"ticks": False}
    assert "Start manage.py ticker" in doctor()


def waits(queue: str, minutes: float, **more: Any) -> Job:
    """A job that has been due for so long, of a client of its own; nothing else of its run is."""
    run = factories.make_run(at="trigger")
    with factories.inside(run):
        PipelineState.objects.update(due_at=None)
        Run.objects.filter(pk=run.pk).update(due_at=None)
        fields = {"kind": "hops", "queue": queue, "stage": "evaluate", "created_at": now()}
        fields |= {"due_at": now() - timedelta(minutes=minutes)}
        job = Job.of(run, run=run, **(fields | more))
        job.save()
    return job


@pytest.mark.parametrize("queue, minutes, service", [
    ("push", 6, "worker-push"), ("cpu", 11, "worker-jobs"), ("gpu", 11, "worker-gpu"),
])  # fmt: skip
def test_a_worker_that_is_gone_makes_it_unready(
    anonymous: Browser, db: None, settings: Any, queue: str, minutes: float, service: str
) -> None:
    settings.ENGINE = "celery"
    waits(queue, minutes)

    assert anonymous.get("/readyz").json() == dict.fromkeys(looks.READY, True) | {"workers": False}
    assert f"due in {queue}" in doctor() and f"-> Start {service}" in doctor()


@pytest.mark.parametrize("queue, minutes", [("push", 4), ("cpu", 9)])
def test_what_is_due_for_some_minutes_says_nothing_of_its_worker(db: None, queue: str, minutes: float) -> None:
    waits(queue, minutes)

    assert looks.workers().is_well


@pytest.mark.parametrize("taken", [
    {"status": "running", "due_at": timedelta(minutes=1), "heartbeat_at": timedelta()},
    {"status": "failed", "due_at": None, "heartbeat_at": timedelta(minutes=-9), "finished_at": timedelta(minutes=-9)},
    {"status": "queued", "due_at": timedelta(minutes=2), "heartbeat_at": timedelta(minutes=-3)},
], ids=["worked on", "done lately", "tried again"])  # fmt: skip
def test_a_long_line_before_busy_workers_is_no_fault(db: None, taken: dict[str, Any]) -> None:
    times = {name: now() + value if isinstance(value, timedelta) else value for name, value in taken.items()}
    waits("gpu", 0, **times)
    for hours in range(1, 9):
        waits("gpu", 60 * hours)

    assert looks.workers().is_well


@pytest.mark.parametrize("machine, is_well", [(None, True), (7, False)], ids=["a worker", "a machine"])
def test_machines_at_work_do_not_hide_a_worker_that_is_gone(db: None, machine: int | None, is_well: bool) -> None:
    waits("gpu", -1, status="running", heartbeat_at=now(), machine=machine)
    waits("gpu", 30)

    assert looks.workers().is_well == is_well


def test_what_waits_for_a_machine_waits_for_no_worker(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offers, "has_machine", lambda _job: True)
    waits("gpu", 600, kind="train")

    assert looks.workers().is_well


def test_what_wants_a_gpu_that_nobody_has_tells_nothing_of_workers(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offers, "needs_of", lambda _job: Needs("gpu", gpu=True))
    waits("gpu", 600, kind="train")

    assert looks.workers().is_well


def test_a_process_lives_while_its_database_is_away(anonymous: Browser, no_database: None) -> None:
    assert anonymous.get("/healthz").status_code == 200
    answer = anonymous.get("/readyz")
    assert answer.status_code == 503 and answer.json()["database"] is False
    assert "refused" not in answer.content.decode()
    said = doctor()
    assert "-> Start the database server, or set DATABASE_URL right" in said
    assert said.count("-> See database first.") == 7 and "see database first" not in said


READ_ONLY = {
    "sqlite": ("PRAGMA query_only = ON", "PRAGMA query_only = OFF"),
    "postgresql": ("SET default_transaction_read_only = on", "SET default_transaction_read_only = off"),
}


def test_a_database_that_takes_no_writes_is_not_ready_and_the_rest_is_looked_at(
    anonymous: Browser, transactional_db: None
) -> None:
    begin, end = READ_ONLY[connection.vendor]
    with connection.cursor() as cursor:
        cursor.execute(begin)
    try:
        found = {one.name: one for one in looks.look(looks.READY)}
    finally:
        with connection.cursor() as cursor:
            cursor.execute(end)

    assert [name for name, one in found.items() if not one.is_well] == ["database"]
    assert "takes no writes" in found["database"].says and "standby" in found["database"].do


def test_a_database_without_tables_is_told_by_its_migrations(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(User._meta, "db_table", "tables_that_are_not_there_yet")
    monkeypatch.setattr(MigrationExecutor, "migration_plan", lambda *_: ["0001"])

    assert looks.database().is_well
    assert looks.migrations().do.startswith("Run " + looks.migrating())


@pytest.mark.parametrize("vendor, command", [
    ("sqlite", "Run manage.py migrate, "), ("postgresql", "Run RETUNE_AS_OWNER=1 manage.py migrate (with compose: "),
])  # fmt: skip
def test_whoever_migrates_is_told_the_command_that_may(
    db: None, monkeypatch: pytest.MonkeyPatch, vendor: str, command: str
) -> None:
    monkeypatch.setattr(MigrationExecutor, "migration_plan", lambda *_: ["0001"])
    monkeypatch.setattr(type(connection._connections[connection._alias]), "vendor", vendor)

    assert looks.migrations().do.startswith(command)


@pytest.mark.parametrize("minutes, says", [(3, "180 s ahead of"), (-3, "180 s behind"), (0, "agrees with")])
def test_a_clock_that_is_off_is_told(db: None, monkeypatch: pytest.MonkeyPatch, minutes: int, says: str) -> None:
    monkeypatch.setattr(looks, "now", lambda: now() + timedelta(minutes=minutes))

    assert looks.clock().says.startswith(says) and looks.clock().is_well == (minutes == 0)


def test_the_doctor_names_what_does_not_answer(db: None, settings: Any) -> None:
    settings.REDIS_URL = f"redis://127.0.0.1:{free_port()}/0"
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", free_port()
    settings.BASES = {"lost": "/nowhere"}

    said = doctor()

    bad = [line.split()[1] for line in said.splitlines() if line.startswith("BAD")]
    assert {"redis", "mail", "bases"} <= set(bad)
    assert "ok   database" in said and "ok   artifacts" in said


def test_little_disk_is_said_before_a_training_fails(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looks, "LEAST_FREE_BYTES", 10**18)

    found = looks.artifacts()

    assert not found.is_well and "Free disk space" in found.do
