"""Migrations that the code of before and the code of now both stand: nothing it reads is taken from it, and the rows
that it still inserts are taken."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import psycopg
import pytest
from django.db.migrations.loader import MigrationLoader

from tests.installation import Installation

# Before these there was nothing to upgrade, and columns were still taken away. A later step that takes something away
# belongs into the release after the one that stops using it: then the names here move on.
SINCE = {"pipelines": "0011_signature_blocks", "tenants": "0008_people"}
COLUMNS = """SELECT table_name, column_name, is_nullable = 'NO' AND column_default IS NULL AND is_identity = 'NO'
    FROM information_schema.columns WHERE table_schema = 'public'"""


@dataclass(frozen=True)
class Tables:
    """`then`: table -> columns that the code of before knows. `now`: table -> column -> must each row name it?"""

    then: dict[str, set[str]]
    now: dict[str, dict[str, bool]]


@pytest.fixture(scope="module")
def tables(installation: Installation) -> Iterator[Tables]:
    state = MigrationLoader(None).project_state(list(SINCE.items()))
    then: dict[str, set[str]] = {}
    for model in state.apps.get_models(include_auto_created=True):
        if model._meta.app_label in SINCE:
            then[model._meta.db_table] = {field.column for field in model._meta.local_concrete_fields}
    found: dict[str, dict[str, bool]] = {}
    with psycopg.connect(installation.owner_url) as owner:
        for table, column, must in owner.execute(COLUMNS):
            found.setdefault(table, {})[column] = must
    yield Tables(then, found)


def test_what_the_code_before_reads_and_writes_is_still_there(tables: Tables) -> None:
    gone = {name: columns - tables.now.get(name, {}).keys() for name, columns in tables.then.items()}

    assert {name: columns for name, columns in gone.items() if columns} == {}


def test_a_row_without_what_is_new_is_taken(tables: Tables) -> None:
    """A new column is empty, or has its default in the database itself."""
    refused = {
        name: {column for column, must in tables.now[name].items() if must and column not in columns}
        for name, columns in tables.then.items()
    }
    grown = [name for name, columns in tables.then.items() if tables.now[name].keys() - columns]

    assert {name: columns for name, columns in refused.items() if columns} == {}
    assert "pipelines_modelversion" in grown and "tenants_agency" in grown, "some have grown since: this test can fail"
