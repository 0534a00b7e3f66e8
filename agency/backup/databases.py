"""One moment of the database as a file, and back, by the database's own tools."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from django.db import connection
from psycopg import ProgrammingError
from psycopg.conninfo import make_conninfo

from agency import env

SQLITE_MAGIC = b"SQLite format 3\x00"
ERROR_LINES = 5


class CannotCopy(RuntimeError):
    """The database could not be written out or read in; says what to do."""

    permanent = True


def dump(out: Path) -> str:
    """Writes the database as it is at one moment, while everything else goes on. Gives its kind."""
    if connection.vendor == "sqlite":
        out.unlink(missing_ok=True)
        with closing(sqlite3.connect(_file())) as beside:
            beside.execute("VACUUM INTO ?", [str(out)])
        return "sqlite"
    _run(["pg_dump", "--format=custom", f"--file={out}"])
    return "postgresql"


def load(source: Path) -> None:
    """Reads a dump of the same kind into a database that has no tables of ours."""
    if connection.vendor == "sqlite":
        _load_sqlite(source, _file())
    else:
        # The app role's rights come by default privileges, which `setup_postgresql` gave: no role is named in a dump.
        _run(["pg_restore", "--exit-on-error", "--single-transaction", "--no-owner", "--no-privileges", str(source)])


def tables() -> list[str]:
    """What lies in the database, so that nothing is ever overwritten."""
    if connection.vendor == "sqlite" and not _file().exists():
        return []
    return sorted(connection.introspection.table_names())


def _file() -> Path:
    return Path(str(connection.settings_dict["NAME"]))


def _load_sqlite(source: Path, place: Path) -> None:
    with source.open("rb") as stream:
        if stream.read(len(SQLITE_MAGIC)) != SQLITE_MAGIC:
            raise CannotCopy("The archive's database is no SQLite file.")
    with closing(sqlite3.connect(source)) as copy:
        [said] = copy.execute("PRAGMA integrity_check").fetchone()
    if said != "ok":
        raise CannotCopy(f"The archive's database is damaged: {said}")
    connection.close()
    place.parent.mkdir(parents=True, exist_ok=True)
    for leftover in (place.with_name(f"{place.name}-wal"), place.with_name(f"{place.name}-shm")):
        leftover.unlink(missing_ok=True)
    beside = place.with_name(f"{place.name}.restored")
    shutil.move(source, beside)  # The archive may have been unpacked on another disk.
    beside.replace(place)


def _conninfo(url: str) -> tuple[str, str]:
    """What libpq is told of a server, the URL's query with it, and the password: all as the settings take it."""
    parts = urlsplit(url)
    own = {"host": parts.hostname, "port": parts.port, "user": unquote(parts.username or "")}
    told: dict[str, Any] = {"dbname": parts.path.lstrip("/")} | dict(parse_qsl(parts.query))
    told |= {name: value for name, value in own.items() if value}
    password = unquote(parts.password or "") or env.text("DATABASE_PASSWORD") or told.get("password", "")
    if "sslpassword" in told:
        raise CannotCopy("DATABASE_OWNER_URL has an sslpassword, which all could read: use a key without one.")
    try:
        return make_conninfo(**told | {"password": None}), password
    except ProgrammingError as error:
        raise CannotCopy(f"DATABASE_OWNER_URL: {error}") from None


def _run(command: Sequence[str]) -> None:
    """As the owner, who alone sees every row. The password goes by the environment: arguments can be read by all."""
    url = env.text("DATABASE_OWNER_URL")
    if not url:
        raise CannotCopy("DATABASE_OWNER_URL (or DATABASE_OWNER_URL_FILE) is not set: the app's role sees no row.")
    address, password = _conninfo(url)
    try:
        done = subprocess.run(
            [command[0], "--no-password", f"--dbname={address}", *command[1:]],
            env=os.environ | ({"PGPASSWORD": password} if password else {}),
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        raise CannotCopy(f"{command[0]} is missing: install the package postgresql-client.") from None
    if done.returncode:
        last = "\n".join(done.stderr.strip().splitlines()[-ERROR_LINES:])
        raise CannotCopy(f"{command[0]} failed:\n{last}")
