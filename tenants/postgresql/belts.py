"""The belts that PostgreSQL itself wears: forced row-level security, keys that cannot cross clients, named crossings.

`fasten(apps, schema_editor)` is for migrations and may run any number of times: whoever adds a tenant table, or
changes a crossing, calls it again in the migration that does so. Tables are found by their columns, never by a list.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from django.db import connections
from django.db.models import Model

from tenants.crossing import CROSSINGS, Crossing
from tenants.postgresql.channel import CHANNEL

# In a query of their own, they are read once for a statement and not once for each row: 100 ms less over 60,000 rows.
CLIENT = "(SELECT NULLIF(current_setting('app.client_id', true), '')::bigint)"
AGENCY = "(SELECT NULLIF(current_setting('app.agency_id', true), '')::bigint)"
CLIENT_TABLE = "tenants_client"
PSEUDONYM = "person:"  # As in tenants.models.audit_event, which migrations must not import.
ERASURES = "tenants_erasure"
LEDGER_FIXED = ("id", "agency_id", "client_id", "seq", "at", "verb", "detail", "previous", "digest")


@dataclass(frozen=True)
class Table:
    """A tenant table. `client_column` is None where rows belong to the agency; `links` are (column, other table)."""

    name: str
    client_column: str | None
    links: tuple[tuple[str, str], ...]

    def policies(self) -> dict[str, str]:
        """Policy name -> condition. Both are permissive: either setting opens its own rows."""
        found = {"retune_by_agency": f"agency_id = {AGENCY}"}
        if self.client_column:
            found["retune_by_client"] = f"{self.client_column} = {CLIENT}"
        return found


def tables(models: Iterable[type[Model]]) -> list[Table]:
    """Every tenant table among the models, historical ones too (those have lost their base classes)."""
    known = [model for model in models if _columns(model) >= {"agency_id"}]
    owned = {model._meta.db_table for model in known if _client_column(model) == "client_id"}
    return [Table(model._meta.db_table, _client_column(model), tuple(_links(model, owned))) for model in known]


def _columns(model: type[Model]) -> set[str]:
    return {field.column for field in model._meta.local_concrete_fields if field.column}


def _client_column(model: type[Model]) -> str | None:
    if model._meta.db_table == CLIENT_TABLE:
        return "id"
    # Where the client may be empty (memberships, acts in the agency itself), such a row is the agency's alone.
    return "client_id" if "client_id" in _columns(model) else None


def _links(model: type[Model], owned: set[str]) -> Iterator[tuple[str, str]]:
    if model._meta.db_table not in owned:
        return
    for field in model._meta.local_concrete_fields:
        other = field.related_model
        # What may belong to the whole agency has no client that could be the same.
        if other and field.column and other._meta.db_table in owned and not _may_lack_client(other):
            yield field.column, other._meta.db_table


def _may_lack_client(model: type[Model]) -> bool:
    return any(field.column == "client_id" and field.null for field in model._meta.local_concrete_fields)


def fasten(apps: Any, schema_editor: Any) -> None:
    """All belts of every tenant table that the state holds; nothing on other databases."""
    if schema_editor.connection.vendor != "postgresql":
        return
    found = tables(apps.get_models())
    statements = [
        *_keys(found),
        *_foreign_keys(found),
        *_security(found),
        *_crossings(),
        *_ledger(),
        *_demos(),
        *_evaluation(found),
        *_routes(found),
    ]
    for statement in statements:
        schema_editor.execute(statement, None)


def _name(*parts: str) -> str:
    """At most 63 characters, the limit of PostgreSQL's names."""
    text = "_".join(parts)
    return text if len(text) <= 60 else f"{text[:50]}_{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _add_constraint(table: str, name: str, definition: str) -> str:
    missing = f"NOT EXISTS (SELECT FROM pg_constraint WHERE conname = '{name}' AND conrelid = '{table}'::regclass)"
    return f"DO $$ BEGIN IF {missing} THEN ALTER TABLE {table} ADD CONSTRAINT {name} {definition}; END IF; END $$"


def _keys(found: list[Table]) -> Iterator[str]:
    """What composite foreign keys point at."""
    yield _add_constraint(CLIENT_TABLE, "retune_agency_key", "UNIQUE (agency_id, id)")
    for table in found:
        if table.client_column == "client_id":
            yield _add_constraint(table.name, _name(table.name, "client_key"), "UNIQUE (client_id, id)")


def _foreign_keys(found: list[Table]) -> Iterator[str]:
    """(client_id, x_id) -> (client_id, id), and (agency_id, client_id) -> the client: no row lies about its owner."""
    for table in found:
        if table.name != CLIENT_TABLE and (table.client_column or table.name == "tenants_membership"):
            yield _foreign_key(table.name, ("agency_id", "client_id"), CLIENT_TABLE, ("agency_id", "id"))
        for column, other in table.links:
            yield _foreign_key(table.name, ("client_id", column), other, ("client_id", "id"))


def _foreign_key(table: str, columns: tuple[str, str], other: str, targets: tuple[str, str]) -> str:
    name = _name(table, columns[1], "same", "owner")
    pairs = f"FOREIGN KEY ({', '.join(columns)}) REFERENCES {other} ({', '.join(targets)})"
    # Deferred like Django's own keys: rows that point at each other are written in either order.
    return _add_constraint(table, name, f"{pairs} DEFERRABLE INITIALLY DEFERRED")


def _security(found: list[Table]) -> Iterator[str]:
    for table in found:
        # FORCE: the owner of the table is bound too, unless its role has BYPASSRLS.
        yield f"ALTER TABLE {table.name} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY"
        for policy, condition in table.policies().items():
            yield f"DROP POLICY IF EXISTS {policy} ON {table.name}"
            yield f"CREATE POLICY {policy} ON {table.name} USING ({condition}) WITH CHECK ({condition})"


def _crossings() -> Iterator[str]:
    # A crossing may ask for a column that a later migration adds.
    yield "SET LOCAL check_function_bodies = off"
    yield from _forget_crossings()
    for name, crossing in CROSSINGS.items():
        yield crossing_sql(name, crossing)


def _forget_crossings() -> Iterator[str]:
    # By name and not by signature: CREATE OR REPLACE cannot change what a function returns.
    yield """DO $$ DECLARE old regprocedure; BEGIN
        FOR old IN SELECT oid FROM pg_proc WHERE proname LIKE 'retune\\_%' AND prosecdef
            AND pronamespace = 'public'::regnamespace
        LOOP EXECUTE format('DROP FUNCTION %s', old); END LOOP; END $$"""


def crossing_sql(name: str, crossing: Crossing) -> str:
    """The function behind one crossing. It runs as the tables' owner, who has BYPASSRLS; who may call it: roles.py."""
    params = ", ".join(f"{param} {kind}" for param, kind in crossing.params)
    returns = ", ".join(f"{column} bigint" for column in crossing.returns)
    body = crossing.sql.format(**{param: param for param, _ in crossing.params})
    # Without a pinned search path a caller could put tables of his own in the function's way.
    return (
        f"CREATE FUNCTION public.retune_{name}({params}) RETURNS TABLE ({returns}) LANGUAGE sql STABLE "
        f"SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $body$ {body} $body$"
    )


def _ledger() -> Iterator[str]:
    """The ledger of acts refuses change and removal, whoever asks; a demo client's goes with its client, an erased
    client's with the rest of it, and a name may give way to its pseudonym."""
    yield f"""CREATE OR REPLACE FUNCTION public.ledger_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $body$
        BEGIN
        IF TG_OP = 'DELETE' AND OLD.client_id IS NOT NULL THEN
            IF EXISTS (SELECT 1 FROM {CLIENT_TABLE} WHERE id = OLD.client_id AND is_demo) THEN RETURN OLD; END IF;
            IF EXISTS (SELECT 1 FROM {ERASURES} WHERE former_id = OLD.client_id AND rows_gone_at IS NOT NULL)
            THEN RETURN OLD; END IF;
        END IF;
        IF TG_OP = 'UPDATE' THEN
            IF {_gives_way("actor")} AND {_gives_way("subject")}
                AND (to_jsonb(NEW) - 'actor' - 'subject') = (to_jsonb(OLD) - 'actor' - 'subject')
            THEN RETURN NEW; END IF;
        END IF;
        RAISE EXCEPTION 'The ledger is append-only.' USING ERRCODE = 'insufficient_privilege'; END $body$"""
    yield "DROP TRIGGER IF EXISTS ledger_is_append_only ON tenants_auditevent"
    yield """CREATE TRIGGER ledger_is_append_only BEFORE UPDATE OR DELETE ON tenants_auditevent
        FOR EACH ROW EXECUTE FUNCTION public.ledger_is_append_only()"""


def _gives_way(column: str) -> str:
    digest = f"left(encode(sha256(convert_to(lower(OLD.{column}), 'UTF8')), 'hex'), 32)"
    return f"NEW.{column} IN (OLD.{column}, '{PSEUDONYM}' || {digest})"


def _demos() -> Iterator[str]:
    """Which client is a demo is said once, when it is made: a real one never becomes one that may be removed."""
    yield """CREATE OR REPLACE FUNCTION public.demo_is_for_ever() RETURNS trigger LANGUAGE plpgsql AS $body$
        BEGIN IF to_jsonb(NEW) -> 'is_demo' IS DISTINCT FROM to_jsonb(OLD) -> 'is_demo' THEN
            RAISE EXCEPTION 'A client is a demo from the start or never.' USING ERRCODE = 'insufficient_privilege';
        END IF; RETURN NEW; END $body$"""
    yield f"DROP TRIGGER IF EXISTS demo_is_for_ever ON {CLIENT_TABLE}"
    yield f"""CREATE TRIGGER demo_is_for_ever BEFORE UPDATE ON {CLIENT_TABLE}
        FOR EACH ROW EXECUTE FUNCTION public.demo_is_for_ever()"""


EXAMPLES = "pipelines_example"
NEVER_TRAINS = "A row that an evaluation set asks never trains."
IS_A_CASE = """EXISTS (SELECT 1 FROM tenants_evalcase kase JOIN tenants_evalset sett ON sett.id = kase.eval_set_id
    WHERE kase.client_id = NEW.client_id AND kase.input_digest = NEW.input_digest
    AND sett.pipeline_id = NEW.pipeline_id)"""


def _evaluation(found: list[Table]) -> Iterator[str]:
    """No dataset takes a row that asks what a case of the pipeline's evaluation sets asks."""
    if EXAMPLES not in {table.name for table in found}:
        return
    yield f"""CREATE OR REPLACE FUNCTION public.evaluation_never_trains() RETURNS trigger LANGUAGE plpgsql AS $body$
        BEGIN IF {IS_A_CASE} THEN RAISE EXCEPTION '{NEVER_TRAINS}' USING ERRCODE = 'check_violation'; END IF;
        RETURN NEW; END $body$"""
    yield f"DROP TRIGGER IF EXISTS evaluation_never_trains ON {EXAMPLES}"
    yield f"""CREATE TRIGGER evaluation_never_trains BEFORE INSERT OR UPDATE OF dataset_id ON {EXAMPLES}
        FOR EACH ROW WHEN (NEW.dataset_id IS NOT NULL) EXECUTE FUNCTION public.evaluation_never_trains()"""


ROUTES = "pipelines_route"


def _routes(found: list[Table]) -> Iterator[str]:
    """Whoever commits a route tells so, and nothing else: gateways look then at once."""
    if ROUTES not in {table.name for table in found}:
        return
    yield f"""CREATE OR REPLACE FUNCTION public.routes_changed() RETURNS trigger LANGUAGE plpgsql AS $body$
        BEGIN PERFORM pg_notify('{CHANNEL}', ''); RETURN NULL; END $body$"""
    yield f"DROP TRIGGER IF EXISTS routes_changed ON {ROUTES}"
    yield f"""CREATE TRIGGER routes_changed AFTER INSERT OR UPDATE ON {ROUTES}
        FOR EACH STATEMENT EXECUTE FUNCTION public.routes_changed()"""


def fasten_sqlite(apps: Any, schema_editor: Any) -> None:
    """SQLite's part: the ledger refuses change. (Not removal: Django's flush empties tables row by row there.)

    SQLite has no SHA-256: that a pseudonym is the right one is what the row's digest shows.
    """
    if schema_editor.connection.vendor != "sqlite":
        return
    same = " AND ".join(f"NEW.{column} IS OLD.{column}" for column in LEDGER_FIXED)
    names = " AND ".join(f"(NEW.{n} IS OLD.{n} OR NEW.{n} LIKE '{PSEUDONYM}%')" for n in ("actor", "subject"))
    schema_editor.execute("DROP TRIGGER IF EXISTS ledger_is_append_only")
    schema_editor.execute(
        f"CREATE TRIGGER ledger_is_append_only BEFORE UPDATE ON tenants_auditevent WHEN NOT ({same} AND {names}) "
        "BEGIN SELECT RAISE(ABORT, 'The ledger is append-only.'); END"
    )


def fasten_issues(apps: Any, schema_editor: Any) -> None:
    """Usage that was issued refuses change, whoever asks."""
    what, table = "Issued usage is immutable.", "tenants_usageissue"
    if schema_editor.connection.vendor == "sqlite":
        schema_editor.execute(
            f"CREATE TRIGGER issues_never_change BEFORE UPDATE ON {table} BEGIN SELECT RAISE(ABORT, '{what}'); END"
        )
        return
    schema_editor.execute(
        f"""CREATE OR REPLACE FUNCTION public.issues_never_change() RETURNS trigger LANGUAGE plpgsql AS $body$
        BEGIN RAISE EXCEPTION '{what}' USING ERRCODE = 'insufficient_privilege'; END $body$""",
        None,
    )
    schema_editor.execute(
        f"""CREATE TRIGGER issues_never_change BEFORE UPDATE ON {table}
        FOR EACH ROW EXECUTE FUNCTION public.issues_never_change()""",
        None,
    )


def fasten_erasures(apps: Any, schema_editor: Any) -> None:
    """What was certified refuses change; that a client was erased is never forgotten."""
    what = "A certificate is for ever."
    if schema_editor.connection.vendor == "sqlite":
        schema_editor.execute(
            f"CREATE TRIGGER certificates_never_change BEFORE UPDATE ON {ERASURES} WHEN OLD.certificate <> '' "
            f"BEGIN SELECT RAISE(ABORT, '{what}'); END"
        )
        return
    schema_editor.execute(
        f"""CREATE OR REPLACE FUNCTION public.certificates_never_change() RETURNS trigger LANGUAGE plpgsql AS $body$
        BEGIN IF TG_OP = 'DELETE' OR OLD.certificate <> '' THEN
            RAISE EXCEPTION '{what}' USING ERRCODE = 'insufficient_privilege'; END IF;
        RETURN NEW; END $body$""",
        None,
    )
    schema_editor.execute(
        f"""CREATE TRIGGER certificates_never_change BEFORE UPDATE OR DELETE ON {ERASURES}
        FOR EACH ROW EXECUTE FUNCTION public.certificates_never_change()""",
        None,
    )


ACTS = {"insert": "INSERT", "update": "UPDATE OF dataset_id"}


def loosen_examples(using: str, **_signal: Any) -> None:
    """Before migrations. SQLite copies a table to change it, and refuses where a trigger names a table on the move."""
    connection = connections[using]
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            for act in ACTS:
                cursor.execute(f"DROP TRIGGER IF EXISTS evaluation_never_trains_on_{act}")


def fasten_examples(using: str, **_signal: Any) -> None:
    """After migrations: SQLite's trigger beside that of `_evaluation`."""
    connection = connections[using]
    if connection.vendor != "sqlite" or EXAMPLES not in connection.introspection.table_names():
        return
    loosen_examples(using)
    with connection.cursor() as cursor:
        for act, on in ACTS.items():
            cursor.execute(
                f"CREATE TRIGGER evaluation_never_trains_on_{act} BEFORE {on} ON {EXAMPLES} "
                f"WHEN NEW.dataset_id IS NOT NULL AND {IS_A_CASE} "
                f"BEGIN SELECT RAISE(ABORT, '{NEVER_TRAINS}'); END"
            )
