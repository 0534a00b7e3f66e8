"""What PostgreSQL refuses by itself, whatever the program forgets. Every statement here runs as the app's role."""

from __future__ import annotations

from typing import NamedTuple

import psycopg
import pytest
from django.db import IntegrityError, ProgrammingError, connection, transaction

from tenants import actions, crossing, scope
from tenants.models import Agency, AuditEvent, Client, Host, Pipeline
from tests import factories
from tests.installation import Installation

pytestmark = pytest.mark.usefixtures("on_postgres")


class Two(NamedTuple):
    """Two clients of one agency, each with a pipeline."""

    agency: Agency
    acorn: Client
    birch: Client
    pipelines: tuple[Pipeline, Pipeline]


@pytest.fixture
def two(on_postgres: Installation) -> Two:
    agency = factories.make_agency("north")
    acorn, birch = factories.make_client(agency, "acorn"), factories.make_client(agency, "birch")
    return Two(agency, acorn, birch, (factories.make_pipeline(acorn), factories.make_pipeline(birch)))


def rows(sql: str, *params: object) -> list[tuple]:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return cursor.fetchall()


def test_the_app_role_is_bound(two: Two) -> None:
    assert rows("SELECT rolsuper, rolbypassrls FROM pg_roles WHERE rolname = current_user") == [(False, False)]
    assert rows("SELECT 1 FROM pg_tables WHERE schemaname = 'public' AND tableowner = current_user") == []


def test_without_a_scope_raw_sql_sees_no_row(two: Two) -> None:
    assert rows("SELECT count(*) FROM tenants_pipeline") == [(0,)]


def test_unscoped_code_sees_no_tenant_row_either(two: Two) -> None:
    with scope.unscoped("a test of the database's own rule"):
        assert Pipeline.objects.count() == 0
        assert Agency.objects.count() == 1


def test_in_a_clients_scope_raw_sql_sees_that_clients_rows_only(two: Two) -> None:
    with scope.client_scope(two.acorn.pk, two.agency.pk):
        assert rows("SELECT DISTINCT client_id FROM tenants_pipeline") == [(two.acorn.pk,)]
        assert rows("SELECT id FROM tenants_client") == [(two.acorn.pk,)]


def test_in_an_agencys_scope_raw_sql_sees_its_clients_and_no_others(two: Two) -> None:
    factories.make_pipeline(factories.make_client(factories.make_agency("south"), "cedar"))

    with scope.agency_scope(two.agency.pk):
        assert rows("SELECT count(*) FROM tenants_pipeline") == [(2,)]
        assert rows("SELECT count(*) FROM tenants_membership") == [(0,)]


def test_a_row_of_another_client_can_not_be_written(two: Two) -> None:
    insert = "INSERT INTO tenants_host (agency_id, client_id, name, kind, url, is_enabled, facts, created_at) "
    insert += "VALUES (%s, %s, 'h', 'ollama', 'http://h', true, '{}', now())"

    with scope.client_scope(two.acorn.pk), pytest.raises(ProgrammingError, match="row-level security"):
        with connection.cursor() as cursor:
            cursor.execute(insert, [two.agency.pk, two.birch.pk])


def test_an_update_of_another_clients_row_reaches_nothing(two: Two) -> None:
    with scope.client_scope(two.acorn.pk), connection.cursor() as cursor:
        cursor.execute("UPDATE tenants_pipeline SET name = 'taken' WHERE client_id = %s", [two.birch.pk])
        assert cursor.rowcount == 0


def test_a_row_can_not_be_given_to_another_client(two: Two) -> None:
    with scope.client_scope(two.acorn.pk), pytest.raises(ProgrammingError, match="row-level security"):
        with connection.cursor() as cursor:
            cursor.execute("UPDATE tenants_host SET client_id = %s", [two.birch.pk])


def test_a_row_can_not_point_into_another_client(two: Two) -> None:
    ours, theirs = two.pipelines

    with scope.client_scope(two.acorn.pk), pytest.raises(IntegrityError, match="same_owner"):
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("UPDATE tenants_pipeline SET revision_id = %s WHERE id = %s", [theirs.revision_id, ours.pk])


def test_a_row_can_not_name_another_agency_than_its_clients(two: Two) -> None:
    other = factories.make_agency("south")

    with scope.client_scope(two.acorn.pk), pytest.raises(IntegrityError, match="same_owner"):
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("UPDATE tenants_host SET agency_id = %s", [other.pk])


def test_the_setting_ends_with_its_transaction(two: Two) -> None:
    with transaction.atomic(), scope.client_scope(two.acorn.pk):
        assert rows("SELECT count(*) FROM tenants_pipeline") == [(1,)]

    assert rows("SELECT current_setting('app.client_id', true), count(*) FROM tenants_pipeline") == [("", 0)]


def test_a_scope_that_changes_inside_one_transaction_is_followed(two: Two) -> None:
    with transaction.atomic():
        for client in (two.acorn, two.birch):
            with scope.client_scope(client.pk):
                assert rows("SELECT client_id FROM tenants_pipeline") == [(client.pk,)]
        assert rows("SELECT count(*) FROM tenants_pipeline") == [(0,)]


def test_a_savepoints_rollback_does_not_leave_another_scope_behind(two: Two) -> None:
    with transaction.atomic(), scope.client_scope(two.acorn.pk):
        with pytest.raises(IntegrityError), transaction.atomic(), scope.client_scope(two.birch.pk):
            factories.make_agency("north")  # The slug is taken: the statement fails, the savepoint rolls back.
        assert rows("SELECT client_id FROM tenants_pipeline") == [(two.acorn.pk,)]


def test_a_scope_entered_before_the_savepoint_survives_its_rollback(two: Two) -> None:
    with transaction.atomic():
        sid = transaction.savepoint()
        with scope.client_scope(two.birch.pk):
            assert rows("SELECT client_id FROM tenants_pipeline") == [(two.birch.pk,)]
            transaction.savepoint_rollback(sid)
            assert rows("SELECT client_id FROM tenants_pipeline") == [(two.birch.pk,)]


def test_a_stream_of_rows_is_scoped_too(two: Two) -> None:
    with scope.agency_scope(two.agency.pk):
        assert len(list(Pipeline.objects.all().iterator(chunk_size=1))) == 2
    with scope.client_scope(two.birch.pk):
        assert [p.client_id for p in Pipeline.objects.all().iterator(chunk_size=1)] == [two.birch.pk]


def test_crossings_answer_ids_without_any_scope(two: Two) -> None:
    assert crossing.ask("all_clients") == [(two.agency.pk, two.acorn.pk), (two.agency.pk, two.birch.pk)]
    assert crossing.ask("clients_of_agency", agency=two.agency.pk + 1) == []


def test_due_rows_of_all_clients_are_found_by_a_crossing(two: Two) -> None:
    runs = [factories.make_run(pipeline, at="trigger") for pipeline in two.pipelines]

    assert crossing.due("due_runs", factories.NOW) == [(run.client_id, run.pk) for run in runs]


def test_a_key_finds_its_owner_by_a_crossing(two: Two) -> None:
    from tenants.models.api_key import digest_of

    text = factories.make_key(two.birch, "gateway")

    [(client_id, _key)] = crossing.ask("key_by_digest", digest=digest_of(text))
    assert client_id == two.birch.pk


def test_nobody_but_the_app_may_call_a_crossing(on_postgres: Installation) -> None:
    with psycopg.connect(on_postgres.admin_url, dbname="retune", autocommit=True) as admin:
        admin.execute("DROP ROLE IF EXISTS passer_by")
        admin.execute("CREATE ROLE passer_by")
        calls = "SELECT bool_or(has_function_privilege('passer_by', oid, 'EXECUTE')) FROM pg_proc WHERE prosecdef"
        assert admin.execute(calls).fetchone() == (False,)


def test_the_ledger_refuses_change_and_removal_even_from_its_owner(two: Two, on_postgres: Installation) -> None:
    with scope.client_scope(two.acorn.pk):
        assert AuditEvent.objects.count() > 1
    for act in ("UPDATE tenants_auditevent SET actor = 'nobody'", "DELETE FROM tenants_auditevent"):
        with scope.client_scope(two.acorn.pk), pytest.raises(ProgrammingError, match="append-only"):
            with connection.cursor() as cursor:
                cursor.execute(act)
        with psycopg.connect(on_postgres.owner_url) as owner, pytest.raises(psycopg.Error, match="append-only"):
            owner.execute(act)  # type: ignore[arg-type]


def test_ordinary_work_runs_as_the_app_role(two: Two) -> None:
    run = factories.make_production(two.pipelines[0])

    with scope.client_scope(two.acorn.pk, two.agency.pk), transaction.atomic():
        assert actions.add_host(two.acorn, "second", "http://127.0.0.1:9", "tests", factories.NOW).pk
        assert Host.objects.count() == 2
        assert run.pipeline.runs.count() == 1
