"""Guards over the database itself: every tenant table wears every belt."""

from __future__ import annotations

import psycopg
import pytest
from django.apps import apps

from tenants.crossing import CROSSINGS
from tenants.models.owned import AgencyOwned, ClientOwned
from tenants.postgresql import belts
from tests.installation import Installation

TABLES = belts.tables(apps.get_models())


@pytest.fixture(scope="module")
def owner(installation: Installation):
    with psycopg.connect(installation.owner_url, autocommit=True) as connection:
        yield connection


def test_the_tables_found_by_their_columns_are_the_owned_models() -> None:
    owned = {m._meta.db_table for m in apps.get_models() if issubclass(m, AgencyOwned | ClientOwned)}

    assert {table.name for table in TABLES} == owned | {"tenants_client"}


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_a_tenant_table_has_forced_row_level_security(owner: psycopg.Connection, table: belts.Table) -> None:
    state = owner.execute(
        "SELECT relrowsecurity, relforcerowsecurity FROM pg_class WHERE oid = %s::regclass", [table.name]
    ).fetchone()
    found = owner.execute(
        "SELECT policyname, permissive, cmd, qual, with_check FROM pg_policies WHERE tablename = %s", [table.name]
    ).fetchall()

    assert state == (True, True)
    assert {name for name, *_ in found} == set(table.policies())
    for _, permissive, command, reads, writes in found:
        assert (permissive, command) == ("PERMISSIVE", "ALL")
        assert reads == writes and "NULLIF(current_setting('app." in reads


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_every_link_between_client_rows_is_a_composite_key(owner: psycopg.Connection, table: belts.Table) -> None:
    found = owner.execute(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'f' AND conrelid = %s::regclass",
        [table.name],
    ).fetchall()
    keys = {definition.split(" DEFERRABLE")[0] for (definition,) in found}

    wanted = {f"FOREIGN KEY (client_id, {column}) REFERENCES {other}(client_id, id)" for column, other in table.links}
    if table.client_column == "client_id":
        wanted.add("FOREIGN KEY (agency_id, client_id) REFERENCES tenants_client(agency_id, id)")
    assert wanted <= keys


@pytest.mark.parametrize("name", sorted(CROSSINGS))
def test_a_crossing_is_a_pinned_definers_function(owner: psycopg.Connection, name: str) -> None:
    row = owner.execute(
        "SELECT prosecdef, proconfig, prosrc FROM pg_proc WHERE proname = %s", [f"retune_{name}"]
    ).fetchone()

    assert row is not None, "call belts.fasten in the migration that adds a crossing"
    is_definer, config, body = row
    assert is_definer and config == ["search_path=pg_catalog, public, pg_temp"]
    assert body.strip() == CROSSINGS[name].sql.format(**{param: param for param, _ in CROSSINGS[name].params}).strip()


def test_fastening_twice_changes_nothing(
    owner: psycopg.Connection, installation: Installation, django_db_blocker
) -> None:
    from django.db import connection

    from tests.installation import as_default

    count = "SELECT count(*) FROM pg_constraint"
    before = owner.execute(count).fetchone()
    with django_db_blocker.unblock(), as_default(installation.owner_url):
        with connection.schema_editor() as editor:
            belts.fasten(apps, editor)

    assert owner.execute(count).fetchone() == before
    test_a_crossing_is_a_pinned_definers_function(owner, "due_runs")
