"""What can be wrong with an installation: one small look each, with a sentence and what to do about it."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryFile

import redis
from django.conf import settings
from django.core.checks import run_checks
from django.core.checks.messages import WARNING
from django.core.mail import get_connection
from django.db import DatabaseError, Error, connection, transaction
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.recorder import MigrationRecorder
from django.db.models.functions import Now
from django.utils.timezone import now

from agency.gateway.routes.orders import send_order, sockets
from agency.machines.programs import AGENT, offered
from pipelines.artifacts.remote import try_bucket
from pipelines.fleet.look import long_down
from pipelines.machines.agents import DOUBLED, OTHER_PROGRAM, SILENT, WRONG_CLOCK, troubled
from pipelines.machines.page import silent
from pipelines.machines.turns import is_forsaken
from pipelines.outbox import mails
from tenants import crossing
from tenants.models import User

# A wake-up is sent within a second and takes some more; a mail is tried again after pauses of minutes.
LATE_TICK, LATE_NOTICE = timedelta(minutes=2), timedelta(minutes=15)
# What goes to hosts may be a rollback.
LATE_PUSH, LATE_JOB = timedelta(minutes=5), timedelta(minutes=10)
LEAST_FREE_BYTES = 5_000_000_000
CLOCK_OFF_S = 10.0


@dataclass(frozen=True)
class Finding:
    """`says` what was seen; `do` is empty where all is well."""

    name: str
    says: str
    do: str = ""

    @property
    def is_well(self) -> bool:
        return not self.do


Look = Callable[[], Finding]


def database() -> Finding:
    """Whether it answers and takes writes: a standby, or a server whose disk is full, does the one alone."""
    connection.ensure_connection()
    try:
        with transaction.atomic():
            User.objects.filter(pk=0).update(last_login=None)  # Of nobody: that is refused too.
    except DatabaseError as refused:
        if User._meta.db_table in connection.introspection.table_names():
            what = "Look at the database server and its log: it may be a standby, or its disk full."
            return Finding("database", f"takes no writes: {refused}", what)
    return Finding("database", f"{connection.vendor} answers and takes writes")


def clock() -> Finding:
    """Leases are compared by each machine's own clock: one that is off takes jobs over early, or late."""
    here = now()
    rows = MigrationRecorder(connection).migration_qs.annotate(at=Now())
    there = rows.values_list("at", flat=True).first() or here
    off_s = (there - here).total_seconds()
    if abs(off_s) > CLOCK_OFF_S:
        says = f"{abs(off_s):.0f} s {'behind' if off_s > 0 else 'ahead of'} that of the database"
        return Finding("clock", says, "Run NTP on this machine and on the database's.")
    return Finding("clock", "agrees with that of the database")


def migrations() -> Finding:
    executor = MigrationExecutor(connection)
    missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if missing:
        return Finding("migrations", f"{len(missing)} are not applied", f"Run {migrating()}, then restart.")
    return Finding("migrations", "all are applied")


def migrating() -> str:
    """The command: on PostgreSQL the app's own role may not change tables."""
    if connection.vendor == "postgresql":
        return "RETUNE_AS_OWNER=1 manage.py migrate (with compose: docker compose run --rm migrate)"
    return "manage.py migrate"


def ticks() -> Finding:
    """Runs and triggers that have been due for long: the ticker is gone, or nobody takes what it sends."""
    since = now() - LATE_TICK
    late = sum(len(crossing.due(name, since)) for name in ("due_runs", "due_triggers"))
    if late:
        what = "Start manage.py ticker and a worker of the queue default; look at their logs."
        return Finding("ticks", f"{late} due for more than {LATE_TICK.seconds} s", what)
    return Finding("ticks", "nothing is late")


def workers() -> Finding:
    """Heavy work that nobody takes. A long line is none: whoever is busy with it is there."""
    waits = {queue: LATE_PUSH if queue == "push" else LATE_JOB for queue in crossing.QUEUES}
    gone = [queue for queue, wait in waits.items() if is_forsaken(queue, wait, now())]
    if gone:
        names = dict.fromkeys(WORKERS[queue] for queue in gone)
        what = f"Start {' and '.join(names)}; look at the log." if settings.ENGINE == "celery" else RESTART
        return Finding("workers", f"nobody takes what has long been due in {', '.join(gone)}", what)
    return Finding("workers", "nothing waits for one that is gone")


# Queue -> the service of docker-compose.yml that takes from it.
WORKERS = {
    "default": "worker-default",
    "push": "worker-push",
    "cpu": "worker-jobs (queue cpu)",
    "gpu": "worker-gpu or worker-jobs (queue gpu)",
}
RESTART = "Restart manage.py up; look at its log."


def notices() -> Finding:
    late = mails.late(now() - LATE_NOTICE, 100)
    if late:
        what = "See the mail server and the log of the worker of the queue default; nothing is lost meanwhile."
        return Finding("notices", f"{late} not sent for more than {LATE_NOTICE.seconds // 60} min", what)
    return Finding("notices", "none is late")


def settings_checks() -> Finding:
    found = [message for message in run_checks() if message.level >= WARNING]
    if not found:
        return Finding("settings", "no system check complains")
    first = found[0]
    says = f"{len(found)} complaints; {first.id}: {first.msg}"
    return Finding("settings", says, first.hint or "See manage.py check.")


def redis_server() -> Finding:
    if not settings.REDIS_URL:
        return Finding("redis", "not used by this engine")
    redis.Redis.from_url(settings.REDIS_URL, socket_timeout=5).ping()
    return Finding("redis", "answers")


def mail() -> Finding:
    if not settings.EMAIL_HOST:
        return Finding("mail", f"written to files in {settings.EMAIL_FILE_PATH}")
    with get_connection(fail_silently=False):
        return Finding("mail", f"{settings.EMAIL_HOST}:{settings.EMAIL_PORT} takes mail")


def artifacts() -> Finding:
    folder = Path(settings.ARTIFACTS)
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryFile(dir=folder) as file:
        file.write(b"retune")
    free = shutil.disk_usage(folder).free
    if free < LEAST_FREE_BYTES:
        what = "Free disk space, or move RETUNE_VAR to a larger disk: a training writes several copies of its model."
        return Finding("artifacts", f"{free / 1e9:.1f} GB free", what)
    return Finding("artifacts", f"writable, {free / 1e9:.0f} GB free")


def bucket() -> Finding:
    """Where artifacts are kept in an object store: whether it takes, lists and gives up an object."""
    name = settings.ARTIFACTS_S3["bucket_name"]
    if not name:
        return Finding("bucket", "none: artifacts lie in the folder")
    try_bucket()
    return Finding("bucket", f"{name} takes, lists and removes an object")


def gateways() -> Finding:
    """Those whose sockets lie in the var folder: whether they answer, know the database and keep what they meter."""
    paths = sockets(settings.VAR)
    found = {path.name: what for path in paths if (what := _trouble_of(path))}
    if found:
        says = "; ".join(f"{name} {what}" for name, what in found.items())
        return Finding("gateways", says, " ".join(dict.fromkeys(GATEWAYS[what] for what in found.values())))
    return Finding("gateways", f"{len(paths)} answer" if paths else f"none has its socket in {settings.VAR}")


UNHEARD, APART, LOST = "does not answer", "does not reach the database", "has lost records of its meter"
GATEWAYS = {
    UNHEARD: "Start that gateway again; a socket that nobody uses any more is simply removed.",
    APART: "It serves by the routes it has, but learns of no change: see database, and its log.",
    LOST: "See its log and the disk: traffic is counted too low. Started again, it counts its losses anew.",
}


def _trouble_of(path: Path) -> str:
    try:
        said = send_order(path, {"status": True})
    except (OSError, ValueError):
        return UNHEARD
    if not said["database"]:
        return APART
    return LOST if said["meter"]["dropped"] else ""


def hosts() -> Finding:
    """Clients' hosts in use that have not answered for ten minutes."""
    names = long_down(now())
    if names:
        what = "See the page of the host for why. One that is gone for good is taken out of use there."
        return Finding("hosts", f"do not answer: {', '.join(names[:10])}", what)
    return Finding("hosts", "none has been down for long")


def bases() -> Finding:
    there = sorted(name for name, path in settings.BASES.items() if (Path(path) / "config.json").is_file())
    if not there:
        return Finding("bases", "no base model is here", "Name folders in RETUNE_BASES=name=/folder,...")
    return Finding("bases", ", ".join(there))


def machines() -> Finding:
    """Machines that pull jobs and have gone silent: what only they can do waits for them."""
    names = silent(now())
    if names:
        what = "Look at the machine and its link, or pause it on the page Machines: its jobs are done here then."
        return Finding("machines", f"not heard of: {', '.join(names[:10])}", what)
    return Finding("machines", "none is silent")


def agents() -> Finding:
    """Agents beside hosts: silent ones serve on, but are pushed nothing and take no rollback."""
    found = troubled(now(), offered(AGENT).digest)
    if found:
        text = "; ".join(f"{what}: {', '.join(names[:10])}" for what, names in found.items())
        return Finding("agents", text, " ".join(WHAT_TO_DO[what] for what in found))
    return Finding("agents", "all are heard of, and run the program that belongs here")


WHAT_TO_DO = {
    SILENT: "Look at the machine and its link: its models are served, but it takes no new version and no rollback.",
    DOUBLED: "Stop one of the two, or make a new token on the host's page and give it to one.",
    WRONG_CLOCK: "Set the machine's clock: what it meters is set right here, its own limits and logs are not.",
    OTHER_PROGRAM: "On the machine: RETUNE_URL=... RETUNE_TOKEN_FILE=... venv/bin/python retune-agent.pyz update, "
    "then restart it.",
}


def converter() -> Finding:
    if not (Path(settings.CONVERTER_DIR) / "convert_hf_to_gguf.py").is_file():
        return Finding("converter", "the GGUF converter is missing", "Run make setup, or set RETUNE_CONVERTER_DIR.")
    return Finding("converter", "is here")


READY: dict[str, Look] = {
    "database": database,
    "migrations": migrations,
    "ticks": ticks,
    "workers": workers,
    "notices": notices,
}
DOCTOR: dict[str, Look] = {
    **READY,
    "clock": clock,
    "settings": settings_checks,
    "redis": redis_server,
    "mail": mail,
    "artifacts": artifacts,
    "bucket": bucket,
    "gateways": gateways,
    "hosts": hosts,
    "bases": bases,
    "converter": converter,
    "machines": machines,
    "agents": agents,
}


def look(looks: dict[str, Look], *, alone: bool = True) -> Iterator[Finding]:
    """Each look's finding; one that cannot look has found something.

    `alone`: no other thread of the process opens sockets, whose default patience is shortened meanwhile.
    """
    sick: list[str] = []
    for name, one in looks.items():
        with _patience() if alone else nullcontext():
            try:
                found = one()
            except Exception as error:
                found = Finding(name, f"{type(error).__name__}: {error}", _what_to_do(name, error, sick))
        if not found.is_well:
            sick.append(name)
        yield found


def _what_to_do(name: str, error: Exception, sick: list[str]) -> str:
    """`sick`: what was found before. Whatever asks a database that is away can say no more than that."""
    ground = next((one for one in sick if one in ("database", "migrations")), "")
    if ground and isinstance(error, Error):
        return f"See {ground} first."
    return AWAY.get(name, "This is a fault of Retune: keep this line, and the log of what runs.")


AWAY = {
    "database": "Start the database server, or set DATABASE_URL right; look at its log.",
    "redis": "Start Redis, or set REDIS_URL right; look at its log.",
    "mail": "Set RETUNE_SMTP_HOST, RETUNE_SMTP_PORT, user and password right; mails wait meanwhile.",
    "bucket": "Set RETUNE_S3_BUCKET, RETUNE_S3_ENDPOINT and both keys right; they must allow to put, list and delete.",
    "artifacts": "Let the user that Retune runs as write into RETUNE_VAR.",
}


@contextmanager
def _patience(seconds: float = 5.0) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
