"""The two roles of a PostgreSQL installation: the owner, who migrates, and the app, which row-level security binds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import unquote, urlsplit

import psycopg
from psycopg import sql

OWNER_RIGHTS = "LOGIN BYPASSRLS NOSUPERUSER NOCREATEDB NOCREATEROLE"
APP_RIGHTS = "LOGIN NOBYPASSRLS NOSUPERUSER NOCREATEDB NOCREATEROLE"


class RoleMismatch(ValueError):
    """The addresses given cannot make a safe pair of roles, or a database that holds every text."""

    permanent = True


@dataclass(frozen=True)
class Login:
    """Who signs in to which database."""

    user: str
    password: str
    database: str

    @classmethod
    def of(cls, url: str) -> Self:
        parts = urlsplit(url)
        return cls(unquote(parts.username or ""), unquote(parts.password or ""), parts.path.lstrip("/"))


def prepare(admin_url: str, owner: Login, app: Login) -> list[str]:
    """Makes or mends both roles, the database and what the app may do in it; says what it did.

    `admin_url` is a superuser's. Safe to repeat. Raises `RoleMismatch`.
    """
    if owner.user == app.user:
        raise RoleMismatch("Owner and app must be two roles: row-level security does not bind the owner.")
    if owner.database != app.database:
        raise RoleMismatch(f"Owner and app name two databases: {owner.database} and {app.database}.")
    with psycopg.connect(admin_url, autocommit=True) as admin:
        said = [_role(admin, owner, OWNER_RIGHTS), _role(admin, app, APP_RIGHTS), _database(admin, owner)]
    with psycopg.connect(admin_url, dbname=owner.database, autocommit=True) as admin:
        for statement in GRANTS:
            _run(admin, statement, owner=sql.Identifier(owner.user), app=sql.Identifier(app.user))
    return [*said, f"{app.user} may read and write rows, and call functions, nothing else"]


def _role(admin: psycopg.Connection, login: Login, rights: str) -> str:
    known = admin.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [login.user]).fetchone()
    verb = "ALTER" if known else "CREATE"
    who, secret = sql.Identifier(login.user), sql.Literal(login.password)
    _run(admin, f"{verb} ROLE {{who}} {rights} PASSWORD {{secret}}", who=who, secret=secret)
    return f"role {login.user}: {'mended' if known else 'made'} ({rights.lower()})"


def _database(admin: psycopg.Connection, owner: Login) -> str:
    encoding = "SELECT pg_encoding_to_char(encoding) FROM pg_database WHERE datname = %s"
    known = admin.execute(encoding, [owner.database]).fetchone()
    if known and known[0] != "UTF8":
        advice = "Make one with ENCODING 'UTF8' TEMPLATE template0, or name another in the addresses."
        raise RoleMismatch(f"Database {owner.database} keeps text as {known[0]} and would refuse most of it. {advice}")
    if not known:
        name, who = sql.Identifier(owner.database), sql.Identifier(owner.user)
        _run(admin, "CREATE DATABASE {name} OWNER {who} ENCODING 'UTF8' TEMPLATE template0", name=name, who=who)
    return f"database {owner.database}: {'there' if known else 'made'}"


# Default privileges reach every table and function that a later migration makes.
GRANTS = (
    "GRANT USAGE, CREATE ON SCHEMA public TO {owner}",
    "GRANT USAGE ON SCHEMA public TO {app}",
    "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {app}",
    "GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {app}",
    "REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA public FROM PUBLIC",
    "GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO {app}",
    "ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA public"
    " GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {app}",
    "ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO {app}",
    "ALTER DEFAULT PRIVILEGES FOR ROLE {owner} REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC",
    "ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA public GRANT EXECUTE ON FUNCTIONS TO {app}",
)


def _run(admin: psycopg.Connection, statement: str, **parts: sql.Composable) -> None:
    admin.execute(sql.SQL(statement).format(**parts))


UNBOUND = """SELECT r.rolsuper OR r.rolbypassrls OR EXISTS (
    SELECT FROM pg_tables t WHERE t.schemaname = 'public' AND pg_has_role(r.oid, t.tableowner, 'member'))
    FROM pg_roles r WHERE r.rolname = current_user"""


def is_unbound(connection: Any) -> bool:
    """Whether this Django connection's role escapes row-level security: by right, or as the owner of the tables."""
    with connection.cursor() as cursor:
        cursor.execute(UNBOUND)
        return bool(cursor.fetchone()[0])
