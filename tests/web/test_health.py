"""Alive, ready, and what the doctor says: what is due late or does not answer is named with what to do."""

from __future__ import annotations

import asyncio
import json
import socket
import tempfile
from collections.abc import Iterator
from datetime import datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.db.utils import OperationalError
from django.test import Client as Browser
from django.utils.timezone import now

from agency.gateway.routes.admin import AdminSocket
from agency.health import looks
from agency.health.looks import Finding
from pipelines import outbox
from pipelines.domain.machines import Needs
from pipelines.fleet.look import Seen, keep
from pipelines.machines import offers
from pipelines.models import Job, Notice, PipelineState, Run
from pipelines.notifiers import Message
from pipelines.notifiers.fake import FakeNotifier
from tenants.models import Client, Host, User
from tests import factories
from tests.servers import free_port

LETTER = Message("s", "<p>h</p>", "t", "<1@x>")


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


@pytest.fixture
def held(acorn: Client) -> Iterator[Run]:
    """A held run of whose state nothing is late."""
    FakeNotifier.reset()
    run = factories.make_run(factories.make_pipeline(acorn), at="compare", status="held")
    with factories.inside(run):
        PipelineState.objects.update(due_at=None)
        Run.objects.filter(pk=run.pk).update(due_at=None)
        yield run
    FakeNotifier.reset()


def tried(notice: Notice, *at: datetime) -> None:
    for one in at:
        assert not outbox.send_due(notice.pk, one, lambda _notice, _address: LETTER, FakeNotifier())


def late_by_the_figures(browser: Browser) -> list[float]:
    page = browser.get("/metrics/installation", headers={"Authorization": "Bearer scrape"}).text
    return [float(line.split()[-1]) for line in page.splitlines() if 'what="notices"' in line]


@pytest.mark.parametrize("minutes, tries, is_well", [
    (14, (0, 1, 6), True), (16, (0, 1, 6), False), (22, (0, 1, 6, 21), False), (85, (0, 1, 6, 21, 81), False),
])  # fmt: skip
def test_a_mail_server_that_is_down_makes_it_unready_however_often_it_is_asked(
    anonymous: Browser, held: Run, settings: Any, minutes: int, tries: tuple[int, ...], is_well: bool
) -> None:
    settings.PROMETHEUS_TOKEN, FakeNotifier.refusals = "scrape", 9
    begun = now() - timedelta(minutes=minutes)
    tried(outbox.notify(held, "rejected", begun), *(begun + timedelta(minutes=m) for m in tries))

    answer = anonymous.get("/readyz")

    assert answer.json() == dict.fromkeys(looks.READY, True) | {"notices": is_well}
    assert answer.status_code == (200 if is_well else 503)
    assert late_by_the_figures(anonymous) == [1, 1]


def test_a_reminder_is_late_from_when_it_is_due_and_not_from_when_it_was_written(held: Run) -> None:
    written = now() - timedelta(hours=3)
    outbox.notify(held, "held", written)
    reminder = Notice.objects.get(kind="reminder")
    reminder.due_at = now() - timedelta(minutes=8)
    reminder.save()
    FakeNotifier.refusals = 9
    tried(Notice.objects.get(kind="held"), *(written + timedelta(minutes=m) for m in (0, 1)))
    Notice.objects.filter(kind="held").update(due_at=None)

    tried(reminder, reminder.due_at, reminder.due_at + timedelta(minutes=1))
    assert looks.notices().is_well
    tried(reminder, reminder.due_at + timedelta(minutes=6))
    assert looks.notices().is_well

    Notice.objects.filter(pk=reminder.pk).update(due_at=now() + timedelta(minutes=5))
    assert not looks.notices().is_well


def test_one_mailbox_that_is_full_is_nobody_elses_alarm(held: Run) -> None:
    FakeNotifier.refused = {"team@north.example": "452 4.2.2 Mailbox full"}
    begun = now() - timedelta(minutes=30)
    tried(outbox.notify(held, "rejected", begun), *(begun + timedelta(minutes=m) for m in (0, 1, 6, 21)))

    assert looks.notices().is_well


def test_a_full_mailbox_is_no_alarm_after_a_server_that_was_away_for_a_try(held: Run) -> None:
    FakeNotifier.refusals, begun = 1, now() - timedelta(minutes=30)
    notice = outbox.notify(held, "rejected", begun)
    tried(notice, begun)
    FakeNotifier.refused = {"team@north.example": "452 4.2.2 Mailbox full"}
    tried(notice, *(begun + timedelta(minutes=m) for m in (1, 6, 21)))

    assert looks.notices().is_well


def test_a_process_lives_while_its_database_is_away(anonymous: Browser, no_database: None) -> None:
    assert anonymous.get("/healthz").status_code == 200
    answer = anonymous.get("/readyz")
    assert answer.status_code == 503 and answer.json()["database"] is False
    assert "refused" not in answer.content.decode()
    said = doctor()
    assert "-> Start the database server, or set DATABASE_URL right" in said
    assert said.count("-> See database first.") == 8 and "see database first" not in said


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


def bad(said: str) -> dict[str, str]:
    """Name of a part -> what is seen, and what to do."""
    lines = [line.split(maxsplit=2) for line in said.splitlines()]
    following = zip(lines, [*lines[1:], []], strict=True)
    return {line[1]: f"{line[2]} {' '.join(then)}" for line, then in following if line[0] == "BAD"}


@pytest.fixture
def bucket() -> Iterator[Any]:
    """A bucket and the keys of somebody who may use it, of a server that asks who calls."""
    import boto3
    import httpx2
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    where = "http://{}:{}".format(*server.get_host_and_port())
    given = {"endpoint_url": where, "region_name": "us-east-1"}
    admin = given | {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    iam = boto3.client("iam", **admin)
    iam.create_user(UserName="retune")
    may = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
    iam.put_user_policy(UserName="retune", PolicyName="all", PolicyDocument=json.dumps(may))
    key = iam.create_access_key(UserName="retune")["AccessKey"]
    boto3.resource("s3", **admin).create_bucket(Bucket="weights")
    before = httpx2.post(f"{where}/moto-api/reset-auth", content=b"0").json()
    yield given | {"bucket_name": "weights", "access_key": key["AccessKeyId"], "secret_key": key["SecretAccessKey"]}
    previous = str(before["PREVIOUS_INITIAL_NO_AUTH_ACTION_COUNT"]).encode()
    httpx2.post(f"{where}/moto-api/reset-auth", content=previous)
    httpx2.post(f"{where}/moto-api/reset")
    server.stop()


@pytest.mark.parametrize("wrong, says", [
    ({"secret_key": "another"}, "SignatureDoesNotMatch"),
    ({"bucket_name": "elsewhere"}, "NoSuchBucket"),
    ({"endpoint_url": "http://127.0.0.1:9"}, "127.0.0.1:9"),
])  # fmt: skip
def test_the_doctor_asks_the_bucket_and_not_only_the_folder_before_it(
    db: None, bucket: Any, settings: Any, wrong: dict[str, str], says: str
) -> None:
    settings.ARTIFACTS_S3 = bucket
    assert looks.bucket() == Finding("bucket", "weights takes, lists and removes an object")

    settings.ARTIFACTS_S3 = bucket | wrong
    found = bad(doctor())

    assert says in found["bucket"] and "-> Set RETUNE_S3_BUCKET" in found["bucket"]
    assert bucket["secret_key"] not in found["bucket"] and "artifacts" not in found


@pytest.fixture
def var(settings: Any) -> Iterator[Path]:
    """A folder whose path is short enough for a socket in it."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        settings.VAR = Path(folder)
        yield settings.VAR


def test_the_doctor_asks_each_gateway_at_its_socket(db: None, var: Path) -> None:
    assert looks.gateways().is_well
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(var / "gateway-gone.sock"))

    found = bad(doctor())["gateways"]

    assert "gateway-gone.sock does not answer" in found and "-> Start that gateway again" in found


@pytest.mark.parametrize("status, says", [
    ({"database": True, "meter": {"dropped": 0}}, ""),
    ({"database": False, "meter": {"dropped": 0}}, "gateway-8430.sock does not reach the database"),
    ({"database": True, "meter": {"dropped": 3}}, "gateway-8430.sock has lost records of its meter"),
])  # fmt: skip
def test_what_a_gateway_says_of_itself_is_told(var: Path, status: dict[str, Any], says: str) -> None:
    door = AdminSocket(var / "gateway-8430.sock", None, lambda: status)  # type: ignore[arg-type]

    async def asked() -> Finding:
        await door.start()
        try:
            return await asyncio.to_thread(looks.gateways)
        finally:
            await door.stop()

    found = asyncio.run(asked())

    assert (found.is_well, found.says) == (not says, says or "1 answer")


def test_the_doctor_names_hosts_that_are_down_for_long(acorn: Client, birch: Client) -> None:
    down, fresh, off = [factories.make_host(acorn, name) for name in ("shop", "attic", "old")]
    up = factories.make_host(birch, "shop")
    for row, minutes in ((down, 11), (fresh, 9), (off, 60)):
        with factories.inside(row):
            keep(row, Seen(why="connection refused"), now() - timedelta(minutes=minutes))
            keep(row, Seen(why="connection refused"), now())
    with factories.inside(off):
        Host.objects.filter(pk=off.pk).update(is_enabled=False)

    found = bad(doctor())["hosts"]

    assert up.facts == {} and "do not answer: acorn/shop ->" in found and "page" in found
