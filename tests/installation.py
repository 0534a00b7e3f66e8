"""A PostgreSQL installation as in production: two roles, migrated by the owner, used by the app."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg
from django.db import connections

from tenants.postgresql.roles import Login, prepare
from tests.servers import PostgresServer

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 5


@dataclass(frozen=True)
class Installation:
    """`environment` is what a process of this installation needs to find its database."""

    admin_url: str
    owner_url: str
    app_url: str

    @property
    def environment(self) -> dict[str, str]:
        return {"DATABASE_URL": self.app_url, "DATABASE_OWNER_URL": self.owner_url, "RETUNE_SECRET_KEY": "s" * 50}

    def migrate(self) -> None:
        env = os.environ | self.environment | {"RETUNE_AS_OWNER": "1"}
        command = [sys.executable, str(ROOT / "manage.py"), "migrate", "--verbosity=0"]
        done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"migrate failed:\n{done.stderr[-3000:]}")

    def empty(self) -> None:
        """Removes every row, with the owner's rights; identities start again."""
        with psycopg.connect(self.owner_url, autocommit=True) as owner:
            found = owner.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
            names = ", ".join(name for (name,) in found if name not in ("django_migrations", "django_content_type"))
            _patiently(owner, f"TRUNCATE {names} RESTART IDENTITY CASCADE")


def _patiently(owner: psycopg.Connection, statement: str) -> None:
    """Again after a deadlock: workers of the test may still be reading."""
    for _ in range(PATIENCE):
        with suppress(psycopg.errors.DeadlockDetected):
            owner.execute(statement)
            return
    raise RuntimeError(f"The tables could not be emptied in {PATIENCE} tries.")


def install(server: PostgresServer, database: str = "retune") -> Installation:
    """Roles, database and tables on a running server."""
    owner_url = server.url("retune_owner", secrets.token_hex(8), database)
    app_url = server.url("retune_app", secrets.token_hex(8), database)
    prepare(server.url("admin", server.password, "postgres"), Login.of(owner_url), Login.of(app_url))
    made = Installation(server.admin_url, owner_url, app_url)
    made.migrate()
    return made


@contextmanager
def as_default(url: str) -> Iterator[None]:
    """Django's default database is `url`'s, in every thread that connects from now on."""
    from agency.settings import database

    before, settings = connections["default"], connections.settings["default"]
    connections.settings["default"] = connections.configure_settings({"default": database(url)})["default"]
    del connections["default"]
    try:
        yield
    finally:
        connections["default"].close()
        connections.settings["default"] = settings
        connections["default"] = before
