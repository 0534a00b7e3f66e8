"""Throw-away PostgreSQL and Redis: own ports, own folder, ended with the process that started them."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import psycopg
import redis

from tools.setup_system import find

START_TIMEOUT_S = 60.0


class ServerFailed(RuntimeError):
    """A throw-away server did not come up; the message carries the end of its log."""


@dataclass(frozen=True)
class PostgresServer:
    """A running server. `admin_url` is its superuser's."""

    host: str
    port: int
    password: str

    def url(self, user: str, password: str, database: str) -> str:
        return f"postgresql://{user}:{password}@{self.host}:{self.port}/{database}"

    @property
    def admin_url(self) -> str:
        return self.url("admin", self.password, "postgres")


def free_port() -> int:
    """A TCP port of the loopback that nobody holds at this moment."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def unprivileged() -> str | None:
    """The account for a server that refuses root; None when we are not root."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"


def as_user(user: str | None, command: Sequence[str], death_signal: str = "TERM") -> list[str]:
    """`command` as `user`, told to end when its parent dies (also by kill -9), where setpriv knows how."""
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        return list(command) if user is None else ["runuser", "-u", user, "--", *command]
    group = [] if user is None else [f"--reuid={user}", f"--regid={pwd.getpwnam(user).pw_gid}", "--clear-groups"]
    return [setpriv, *group, f"--pdeathsig={death_signal}", *command]


@contextmanager
def scratch_folder(prefix: str, user: str | None) -> Iterator[Path]:
    # Not pytest's tmp_path: its parents are closed to other accounts, and a socket's path must stay short.
    with tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as name:
        if user is not None:
            shutil.chown(name, user)
        yield Path(name)


def _wait(ready: Callable[[], bool], server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and server.poll() is None:
        if ready():
            return
        time.sleep(0.05)
    raise ServerFailed(f"{server.args!r} did not come up:\n{log.read_text()[-2000:]}")


@contextmanager
def _running(command: list[str], log: Path, ready: Callable[[], bool], stop: signal.Signals) -> Iterator[None]:
    with log.open("wb") as out:
        server = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, cwd="/")
    try:
        _wait(ready, server, log)
        yield
    finally:
        server.send_signal(stop)
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """Started with fsync off: it never outlives the test run."""
    with restartable_postgres() as made:
        yield made.server


@dataclass
class RestartablePostgres:
    """A server that a test may stop and start again, on the same port and files."""

    server: PostgresServer
    command: list[str]
    log: Path
    running: ExitStack = field(default_factory=ExitStack)

    def start(self) -> None:
        # SIGINT is PostgreSQL's fast shutdown; SIGTERM would wait for clients.
        ready = partial(_postgres_answers, self.server)
        self.running.enter_context(_running(self.command, self.log, ready, signal.SIGINT))

    def stop(self) -> None:
        self.running.close()


@contextmanager
def restartable_postgres() -> Iterator[RestartablePostgres]:
    user = unprivileged()
    with scratch_folder("retune-pg-", user) as folder, tempfile.TemporaryDirectory() as logs:
        made = PostgresServer("127.0.0.1", free_port(), secrets.token_hex(16))
        _initdb(folder, made.password, user)
        options = {"port": made.port, "listen_addresses": made.host, "unix_socket_directories": folder}
        options |= {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "shared_buffers": "64MB"}
        flags = [flag for name, value in options.items() for flag in ("-c", f"{name}={value}")]
        command = as_user(user, [str(find("postgres")), "-D", str(folder / "data"), *flags], "INT")
        found = RestartablePostgres(made, command, Path(logs) / "log")
        found.start()
        try:
            yield found
        finally:
            found.stop()


def _initdb(folder: Path, password: str, user: str | None) -> None:
    secret = folder / "password"
    secret.write_text(password)
    if user is not None:
        shutil.chown(secret, user)
    flags = ["-U", "admin", "-A", "scram-sha-256", f"--pwfile={secret}", "-E", "UTF8", "--locale=C", "--no-sync"]
    command = as_user(user, [str(find("initdb")), "-D", str(folder / "data"), *flags])
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ServerFailed(f"initdb: {done.stderr}")


def _postgres_answers(server: PostgresServer) -> bool:
    try:
        psycopg.connect(server.admin_url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


@contextmanager
def redis_process() -> Iterator[str]:
    """The URL of a Redis with a password, which keeps nothing on disk."""
    password, port = secrets.token_hex(16), free_port()
    url = f"redis://:{password}@127.0.0.1:{port}/0"
    with scratch_folder("retune-redis-", None) as folder:
        flags = [
            "--port",
            str(port),
            "--bind",
            "127.0.0.1",
            "--requirepass",
            password,
            "--save",
            "",
            "--dir",
            str(folder),
        ]
        command = as_user(None, [str(find("redis-server")), *flags])
        with _running(command, folder / "log", lambda: _redis_answers(url), signal.SIGTERM):
            yield url


def _redis_answers(url: str) -> bool:
    client = redis.Redis.from_url(url)
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False
    finally:
        client.close()
