"""Archives of clients: open formats, every row and file of the client, nothing of a neighbour and no secret."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import DatabaseError, models, transaction
from django.utils import timezone

from agency.leaving.export.archive import client_archive, scoped, write
from agency.leaving.tables import MADE_ANEW, SEALED, columns, tables
from pipelines.actions.clients.removal import owned_by_clients
from pipelines.artifacts import ArtifactDamaged, store_of
from pipelines.reports.changes.passport import verify
from pipelines.tars import unpack
from tenants import actions, scope
from tenants.models import Agency, AuditEvent, Client, Pipeline, UsageIssue
from tests import factories
from tests.unit.ollama_host.tiny_gguf import write_model

pytestmark = pytest.mark.django_db
CANARY = "kestrel7qx"
CASES = [{"id": "c1", "messages": [{"role": "user", "content": "Where is it?"}], "check": "", "expected": {}}]


@pytest.fixture
def pipeline(acorn: Client) -> Iterator[Pipeline]:
    """A pipeline with a version in production whose weights, dataset and answers are in the store."""
    made = factories.make_pipeline(acorn)
    with factories.inside(made):
        version = factories.make_production(made).model_version
        store = store_of(acorn.pk)
        version.gguf_digest = store.put_bytes(b"GGUF weights of acorn")
        version.save()
        version.dataset.digest = store.put_bytes(b'{"messages": []}\n')
        version.dataset.save()
        actions.put_eval_set(made, "heldout", CASES, "tests", factories.NOW)
        factories.make_key(acorn)
    return made


def exported(client: Client, folder: Path) -> Path:
    write(folder / "out.tar", client_archive(client, timezone.now()))
    unpack(folder / "out.tar", folder / "out")
    return folder / "out"


def test_it_opens_without_this_program(pipeline: Pipeline, acorn: Client, tmp_path: Path) -> None:
    out = exported(acorn, tmp_path)

    order = ["sha256sum", "-c", "--quiet", "SHA256SUMS"]
    sums = subprocess.run(order, cwd=out, check=False, capture_output=True, text=True)
    assert (sums.returncode, sums.stdout) == (0, "")
    mine = out / "clients" / "acorn"
    assert yaml.safe_load((mine / "pipelines/support/pipeline.yaml").read_text())["pipeline"] == "support"
    assert yaml.safe_load((mine / "pipelines/support/versions/v1/version.yaml").read_text())["version"] == "v1"
    assert not verify((mine / "pipelines/support/versions/v1/passport.json").read_text()).obstacle
    assert [json.loads(line)["id"] for line in (mine / "pipelines/support/evaluation/heldout-v1.jsonl").open()] == [
        "c1"
    ]
    gates = list(csv.DictReader((mine / "pipelines/support/gates.csv").open()))
    assert {row["gate"] for row in gates} >= {"accuracy", "regression", "latency", "safety", "size"}
    for row in csv.DictReader((mine / "files.csv").open()):
        assert hashlib.sha256((mine / row["file"]).read_bytes()).hexdigest() == Path(row["file"]).stem
    assert any(row["file"].endswith(".gguf") for row in csv.DictReader((mine / "files.csv").open()))
    assert json.loads((out / "manifest.json").read_text())["clients"]["acorn"]["acts"] > 3
    page = (mine / "reports" / "2026-03.html").read_text()
    assert "Your models" in page and "<script" not in page and 'href="/static' not in page and 'src="/' not in page


def test_every_table_of_a_client_is_in_it_and_every_row(pipeline: Pipeline, acorn: Client, tmp_path: Path) -> None:
    out = exported(acorn, tmp_path) / "clients" / "acorn" / "tables"

    there = {path.stem for path in out.iterdir()}
    assert there == {model._meta.db_table for model in owned_by_clients()} - set(MADE_ANEW)
    with scope.agency_scope(acorn.agency_id):
        for model in tables():
            count = model._default_manager.filter(client_id=acorn.pk).count()
            assert len((out / f"{model._meta.db_table}.jsonl").read_text().splitlines()) == count, model


def test_nothing_of_a_neighbour_is_in_it(pipeline: Pipeline, acorn: Client, birch: Client, tmp_path: Path) -> None:
    other = factories.make_pipeline(birch)
    factories.make_production(other)
    factories.make_key(birch)
    store_of(birch.pk).put_bytes(CANARY.encode())
    with scope.agency_scope(acorn.agency_id):
        actions.add_member(acorn.agency, f"{CANARY}@birch.example", "reader", "tests", factories.NOW, client=birch)
        planted = sum(plant(model, birch) for model in owned_by_clients())
    assert planted > 60

    write(tmp_path / "out.tar", client_archive(acorn, timezone.now()))

    body = (tmp_path / "out.tar").read_bytes().lower()
    assert CANARY.encode() not in body and b"birch" not in body


def plant(model: type[models.Model], client: Client) -> int:
    """A word in every text column of one of the client's rows that takes it; gives how many took it."""
    row = model._default_manager.filter(client_id=client.pk).order_by("pk").first()
    if row is None or model in (AuditEvent, UsageIssue):
        return 0
    return sum(_takes(model, row.pk, field.attname) for field in model._meta.local_fields if _has_room(field))


def _has_room(field: Any) -> bool:
    is_text = isinstance(field, models.TextField | models.CharField | models.JSONField) and not field.choices
    return is_text and len(CANARY) <= (getattr(field, "max_length", None) or len(CANARY))


def _takes(model: type[models.Model], pk: int, name: str) -> int:
    try:
        with transaction.atomic():
            return model._default_manager.filter(pk=pk).update(**{name: CANARY})
    except DatabaseError:  # A rule keeps it out.
        return 0


def test_no_column_that_opens_a_door_is_in_it() -> None:
    for model in tables():
        hidden = {f.attname for f in model._meta.local_fields} - set(columns(model))
        doors = {
            f.attname
            for f in model._meta.local_fields
            if f.attname == SEALED
            or (f.attname == "digest" and f.unique)
            or "password" in f.attname
            or "secret" in f.attname
        }
        assert hidden == doors, model


def test_the_load_script_creates_every_version_whose_weights_are_kept(
    pipeline: Pipeline, acorn: Client, tmp_path: Path
) -> None:
    weights = write_model(tmp_path / "weights.gguf")
    with factories.inside(pipeline):
        version = pipeline.versions.get(number=1)
        version.gguf_digest, version.system = store_of(acorn.pk).put_file(weights), 'Say "yes" or nothing.'
        version.save()
    mine = exported(acorn, tmp_path) / "clients" / "acorn"
    (tmp_path / "bin").mkdir()
    ollama = tmp_path / "bin" / "ollama"
    ollama.write_text('#!/bin/sh\necho "$@" >> "$LOG"\ntest -f "$(dirname "$4")/$(sed -n \'s/^FROM //p\' "$4")"\n')
    ollama.chmod(0o755)

    env = {"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin", "LOG": str(tmp_path / "log")}
    order = ["sh", str(mine / "load.sh"), "production"]
    done = subprocess.run(order, env=env, check=False, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "log").read_text() == ("create acorn/support:v1 -f pipelines/support/versions/v1/Modelfile\n")
    text = (mine / "pipelines/support/versions/v1/Modelfile").read_text()
    assert f"FROM ../../../../files/{version.gguf_digest}.gguf" in text
    assert 'SYSTEM """Say "yes" or nothing."""' in text
    assert "PARAMETER temperature 0" in text


def test_a_damaged_file_ends_the_export_and_leaves_nothing(pipeline: Pipeline, acorn: Client, tmp_path: Path) -> None:
    store = store_of(acorn.pk)
    store.path(store.put_bytes(b"whole")).write_bytes(b"holes")

    with pytest.raises(ArtifactDamaged, match="backup"):
        write(tmp_path / "out.tar", client_archive(acorn, timezone.now()))

    assert list(tmp_path.glob("out.tar*")) == []


def test_a_large_file_takes_no_memory(pipeline: Pipeline, acorn: Client) -> None:
    store_of(acorn.pk).put_chunks(bytes([n]) * (1 << 20) for n in range(24))

    assert max(len(piece) for piece in scoped(client_archive(acorn, timezone.now()))) <= 1 << 20


def test_the_commands_export_a_client_and_an_agency(
    pipeline: Pipeline, acorn: Client, birch: Client, agency: Agency, tmp_path: Path
) -> None:
    call_command("leave", "export", "acorn", str(tmp_path / "acorn.tar"))
    call_command("leave", "export", agency.slug, str(tmp_path / "all.tar"), "--agency")

    with tarfile.open(tmp_path / "all.tar") as tar:
        names = tar.getnames()
        assert {"clients/acorn/client.json", "clients/birch/client.json", "agency/agency.json"} <= set(names)
        assert names[-1] == "manifest.json"
    with tarfile.open(tmp_path / "acorn.tar") as tar:
        acts = io.TextIOWrapper(tar.extractfile("clients/acorn/ledger.jsonl"))  # type: ignore[arg-type]
        assert json.loads(acts.readlines()[-1])["verb"] == "client.export"
    for wrong in (["acorn", str(tmp_path / "acorn.tar")], ["nobody", str(tmp_path / "x")], ["x", "y", "--agency"]):
        with pytest.raises(CommandError):
            call_command("leave", "export", *wrong)
