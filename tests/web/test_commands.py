"""Commands: what a person at the machine can order, each with its line in the ledger."""

from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection

from pipelines.models import Batch, Run
from tenants import scope
from tenants.models import AuditEvent, Client, Freeze, Pipeline
from tests import factories


@pytest.fixture
def pipeline(acorn: Client) -> Pipeline:
    return factories.make_pipeline(acorn)


def out(name: str, *args: str, **options: Any) -> str:
    stdout = StringIO()
    call_command(name, *args, stdout=stdout, stderr=StringIO(), **options)
    assert scope.current() is None
    return stdout.getvalue().strip()


def acts(pipeline: Pipeline, verb: str) -> list[str]:
    with factories.inside(pipeline):
        return list(AuditEvent.objects.filter(verb=verb).values_list("actor", flat=True))


def test_a_whole_ledger_is_called_whole_for_every_client(pipeline: Pipeline, birch: Client) -> None:
    text = out("ledger", "verify")

    assert [line.split(":")[0] for line in text.splitlines()] == ["north", "acorn", "birch"]
    assert text.count("chain whole") == 3


def in_spite_of_the_trigger(sql: str) -> None:
    """Changes the ledger as somebody with the database's own tools would."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'tenants_auditevent'")
        for (name,) in cursor.fetchall():
            cursor.execute(f'DROP TRIGGER "{name}"')
        cursor.execute(sql)


@pytest.mark.sqlite_only("tampers through SQLite's own tables; tests/postgres shows that PostgreSQL refuses it")
@pytest.mark.parametrize(
    ("sql", "verdict"),
    [
        ("UPDATE tenants_auditevent SET actor = 'nobody' WHERE seq = 2", "row 2 of"),
        ("DELETE FROM tenants_auditevent WHERE seq = 2", "row 2 is missing before row 3"),
        ("UPDATE tenants_auditevent SET previous = '00' WHERE seq = 3", "does not follow the row before it"),
    ],
)
def test_a_ledger_that_somebody_changed_names_the_first_broken_row(pipeline: Pipeline, sql: str, verdict: str) -> None:
    in_spite_of_the_trigger(sql)
    stdout = StringIO()

    with pytest.raises(CommandError, match="Broken: acorn"):
        call_command("ledger", "verify", client="acorn", stdout=stdout)

    assert verdict in stdout.getvalue()


def test_a_run_is_started_and_audited_under_the_name_of_who_typed(pipeline: Pipeline) -> None:
    assert out("start_run", "acorn/support", reason="fresh data") == "Run 1 is queued."

    with factories.inside(pipeline):
        run = Run.objects.get()
    assert run.occasion["reason"] == "fresh data"
    (actor,) = acts(pipeline, "run.start")
    assert actor.endswith("(command line)")


def test_a_refusal_is_a_sentence_and_not_a_traceback(pipeline: Pipeline) -> None:
    out("start_run", "acorn/support")

    with pytest.raises(CommandError, match="still live"):
        out("start_run", "acorn/support")
    with pytest.raises(CommandError, match="Nothing is in production yet"):
        out("rollback", "acorn/support", reason="angry users")


@pytest.mark.parametrize(
    ("target", "sentence"),
    [("nobody/support", "no client nobody"), ("acorn/other", "It has: support"), ("acorn", "no pipeline")],
)
def test_an_unknown_target_is_named(pipeline: Pipeline, target: str, sentence: str) -> None:
    with pytest.raises(CommandError, match=sentence):
        out("start_run", target)


@pytest.mark.parametrize("label", ["v9", "nine"])
def test_a_rollback_to_a_version_that_does_not_exist_is_refused(pipeline: Pipeline, label: str) -> None:
    factories.make_production(pipeline)

    with pytest.raises(CommandError, match=f"support has no version {label}"):
        out("rollback", "acorn/support", to=label, reason="angry users")


def test_a_key_is_printed_once_and_works_for_its_verbs_only(pipeline: Pipeline) -> None:
    text = out("issue_key", "acorn", "shop floor", "examples")

    assert text.startswith("rk_")
    assert len(acts(pipeline, "key.issue")) == 1
    with pytest.raises(CommandError, match="invalid choice"):
        out("issue_key", "acorn", "shop floor", "everything")


def test_a_freezes_reason_fits_its_ledger(pipeline: Pipeline) -> None:
    with pytest.raises(CommandError, match="A reason has at most 500 characters"):
        out("freeze", "acorn", "--reason", "x" * 501)

    with scope.agency_scope(pipeline.agency_id):
        assert not Freeze.objects.exists()


@pytest.mark.parametrize("days", ["0", "-1", "3651", "99999999999"])
def test_a_freeze_lasts_days_or_until_it_is_lifted_and_nothing_between(pipeline: Pipeline, days: str) -> None:
    with pytest.raises(CommandError, match="1 to 3650 days"):
        out("freeze", "acorn", "--reason", "fair", "--days", days)
    with factories.inside(pipeline):
        assert not Freeze.objects.exists()

    out("freeze", "acorn", "--reason", "fair", "--days", "1")

    with factories.inside(pipeline):
        row = Freeze.objects.get()
        assert row.ends_at == row.created_at + timedelta(days=1)


@pytest.mark.parametrize("words, sentence", [
    (("x" * 101, "examples"), "1 to 100 characters"),
    (("", "examples"), "1 to 100 characters"),
    (("shop", "examples", "--tokens-per-minute", str(2**31)), "from 1 to 2147483647"),
    (("shop", "examples", "--requests-per-minute", "0"), "from 1 to 2147483647"),
])  # fmt: skip
def test_a_key_that_the_database_would_not_hold_is_refused(
    pipeline: Pipeline, words: tuple[str, ...], sentence: str
) -> None:
    with pytest.raises(CommandError, match=sentence):
        out("issue_key", "acorn", *words)
    assert acts(pipeline, "key.issue") == []


@pytest.mark.parametrize("text", ['{"header": 5, "value": "x"}', '["header"]', "5", '{"head": "x"}', "{"])
def test_what_is_no_access_of_a_host_is_refused_with_a_sentence(pipeline: Pipeline, tmp_path: Path, text: str) -> None:
    (tmp_path / "access.json").write_text(text)

    with pytest.raises(CommandError, match="cannot be read as an access"):
        out("hosts", "acorn", "shop", "--access", str(tmp_path / "access.json"))


def test_a_file_of_examples_becomes_one_batch_however_often_it_is_given(pipeline: Pipeline, tmp_path: Path) -> None:
    path = tmp_path / "march.ndjson"
    good = {"messages": [{"role": "user", "content": "Where is it?"}, {"role": "assistant", "content": "delivery"}]}
    path.write_text(json.dumps(good) + "\nbroken\n")

    first, again = out("import", "acorn/support", str(path)), out("import", "acorn/support", str(path))

    assert first == again
    assert first.endswith("2 rows, 1 quarantined.")
    with factories.inside(pipeline):
        assert Batch.objects.get().source == "march.ndjson"
