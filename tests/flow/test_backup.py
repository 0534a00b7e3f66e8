"""The whole installation in one file, and back: what served before serves again, and nothing is half restored."""

from __future__ import annotations

import io
import os
import secrets
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import httpx2
import pytest
from django.conf import settings as django_settings
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection
from psycopg.conninfo import conninfo_to_dict

from agency.backup import archive, databases, manifest
from agency.backup.manifest import NotAnArchive
from agency.settings import database
from bench.gateway_peers import load, processes
from pipelines.actions.hosts import set_access
from pipelines.artifacts import store_of
from pipelines.outbound import Access
from pipelines.shipping.route import flip
from tenants.models import Client, Host
from tenants.postgresql.roles import Login, prepare
from tests import factories
from tests.engines.processes import until

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.usefixtures("transactional_db")


@pytest.fixture
def client() -> Client:
    made = factories.make_client(slug="acorn")
    with factories.inside(made):
        store_of(made.pk).put_bytes(b"weights" * 1000)
    return made


@pytest.fixture
def made(client: Client, tmp_path: Path) -> Path:
    file = tmp_path / "all.tar"
    call_command("backup", str(file), stdout=StringIO())
    return file


@pytest.fixture
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """The environment of a second installation that has nothing yet."""
    more = {"RETUNE_VAR": str(tmp_path / "second"), "RETUNE_SECRET_KEY": django_settings.SECRET_KEY}
    if connection.vendor == "sqlite":
        return more | {"DATABASE_URL": f"sqlite://{tmp_path}/second/retune.sqlite3"}
    server, name = request.getfixturevalue("postgres"), f"second_{secrets.token_hex(4)}"
    owner, app = (os.environ[key] for key in ("DATABASE_OWNER_URL", "DATABASE_URL"))
    urls = [url.rpartition("/")[0] + f"/{name}" for url in (owner, app)]
    prepare(server.admin_url, *map(Login.of, urls))
    return more | {"DATABASE_OWNER_URL": urls[0], "DATABASE_URL": urls[1]}


def manage(environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "manage.py", *words]
    return subprocess.run(command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, check=False)


@pytest.fixture
def served(client: Client) -> Iterator[str]:
    """v2 of a pipeline is in production on a host that answers; gives a key."""
    with processes.upstream() as port:
        host = factories.make_host(client, "shop", f"http://127.0.0.1:{port}")
        pipeline = factories.make_pipeline(client)
        _first, second = [factories.make_production(pipeline).model_version for _ in range(2)]
        with factories.inside(client):
            flip(second, factories.NOW)
            set_access(host, Access(header="X-Door", value="a secret"), actor="tests", now=factories.NOW)
        yield factories.make_key(client, "gateway")


def test_a_restored_installation_serves_the_same_version_and_can_read_its_secrets(
    served: str, client: Client, made: Path, empty: dict[str, str]
) -> None:
    restored = manage(empty, "restore", str(made))
    assert restored.returncode == 0, restored.stderr
    assert "1 clients and 1 artifacts" in restored.stdout

    for words in (("ledger", "verify"), ("artifacts", "verify", "acorn"), ("migrate", "--check")):
        assert manage(empty, *words).returncode == 0
    secret = f"with scope.agency_scope({client.agency_id}): print(Host.objects.get().secret())"
    modules = "from tenants import scope; from tenants.models import Host"
    assert "a secret" in manage(empty, "shell", "-v0", "-c", f"{modules}\n{secret}").stdout
    with processes.gateway(**empty) as (port, _pid):
        load.until_ready(load.Spot(port, key=served))
        chat = {"model": "support", "messages": [{"role": "user", "content": "hello"}], "stream": False}
        answer = httpx2.post(
            f"http://127.0.0.1:{port}/api/chat", json=chat, headers={"Authorization": f"Bearer {served}"}
        )
    assert answer.status_code == 200
    assert answer.headers["x-retune-version"] == "v2"


def test_what_is_made_while_the_archive_is_written_is_in_it_whole(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, late = databases.dump, []

    def dump(out: Path) -> str:
        late.append(store_of(client.pk).put_bytes(b"made just before the moment"))
        return real(out)

    monkeypatch.setattr(databases, "dump", dump)
    call_command("backup", str(tmp_path / "all.tar"), stdout=StringIO())

    assert f"artifacts/{client.pk}/{late[0]}" in archive.check(tmp_path / "all.tar").pieces


@pytest.mark.parametrize("share", [0.0, 0.2, 0.9])
def test_an_archive_that_was_cut_off_is_refused(made: Path, share: float) -> None:
    body = made.read_bytes()
    made.write_bytes(body[: int(len(body) * share)])

    with pytest.raises(CommandError, match=r"cut off|no manifest|damaged"):
        call_command("restore", str(made))


def test_a_manifest_that_was_cut_off_is_refused(made: Path) -> None:
    with tarfile.open(made) as tar:
        last = tar.getmember("manifest.json")
    made.write_bytes(made.read_bytes()[: last.offset_data + last.size - 3])

    with pytest.raises(CommandError, match="cut off"):
        call_command("restore", str(made))


@pytest.mark.parametrize("name", ["database", "artifacts"])
def test_one_changed_byte_is_found_and_named(made: Path, name: str) -> None:
    with tarfile.open(made) as tar:
        [member] = [info for info in tar if info.name.startswith(name)]
    body = bytearray(made.read_bytes())
    body[member.offset_data + member.size // 2] ^= 1
    made.write_bytes(body)

    with pytest.raises(CommandError, match=f"damaged: {member.name}"):
        call_command("backup", str(made), check=True)


def hostile(name: str, **fields: Any) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    for key, value in fields.items():
        setattr(info, key, value)
    return info


@pytest.mark.parametrize(
    "info",
    [
        hostile("../../etc/cron.d/x"),
        hostile("/etc/passwd"),
        hostile("artifacts/1/../../x"),
        hostile("artifacts/1/" + "0" * 63),
        hostile("database", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
        hostile("artifacts/1/" + "0" * 64, type=tarfile.CHRTYPE),
    ],
    ids=lambda info: info.name,
)
def test_a_member_that_no_archive_of_ours_has_is_refused_by_name(tmp_path: Path, info: tarfile.TarInfo) -> None:
    file = tmp_path / "hostile.tar"
    with tarfile.open(file, "w") as tar:
        tar.addfile(info, io.BytesIO())

    with pytest.raises(NotAnArchive, match="does not belong"):
        archive.check(file)


def test_an_installation_that_has_anything_is_never_overwritten(made: Path, client: Client) -> None:
    with pytest.raises(CommandError, match="has tables already"):
        call_command("restore", str(made))
    with factories.inside(client):
        assert Client.objects.count() == 1


def test_another_secret_key_is_told_before_anything_is_written(made: Path, empty: dict[str, str]) -> None:
    refused = manage(empty | {"RETUNE_SECRET_KEY": "k" * 50}, "restore", str(made))

    assert refused.returncode == 1 and "another secret key" in refused.stderr
    assert not Path(empty["RETUNE_VAR"], "artifacts").exists()
    older = {"RETUNE_SECRET_KEY": "k" * 50, "RETUNE_SECRET_KEY_FALLBACKS": django_settings.SECRET_KEY}
    assert manage(empty | older, "restore", str(made)).returncode == 0


def test_an_archive_of_a_newer_retune_is_refused(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    newer = archive.check(made).model_copy(update={"migrations": {"pipelines": "9999_later"}})
    monkeypatch.setattr(archive, "check", lambda _file: newer)

    with pytest.raises(CommandError, match=r"newer Retune \(pipelines.9999_later\)"):
        call_command("restore", str(made))


def test_a_backup_that_fails_leaves_no_file(client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_out: Path) -> str:
        raise databases.CannotCopy("pg_dump is missing")

    monkeypatch.setattr(databases, "dump", fails)
    with pytest.raises(CommandError, match="pg_dump is missing"):
        call_command("backup", str(tmp_path / "all.tar"))
    assert not list(tmp_path.glob("all.tar*"))


# Into the place of manage.py: a store that takes a minute for each artifact.
SLOW = """
import sys, time, django
django.setup()
from django.core.management import call_command
from pipelines.artifacts import Store
Store.read_once = lambda *_: time.sleep(60)
call_command(*sys.argv[1:])
"""


@pytest.mark.parametrize("words", [["backup"], ["leave", "export", "acorn"]], ids=" ".join)
def test_an_archive_that_is_told_to_end_leaves_nothing_half_written(
    client: Client, tmp_path: Path, words: list[str]
) -> None:
    more = {"RETUNE_VAR": str(tmp_path), "RETUNE_SECRET_KEY": django_settings.SECRET_KEY}
    if connection.vendor == "sqlite":
        more |= {"DATABASE_URL": f"sqlite://{connection.settings_dict['NAME']}"}
    folder = tmp_path / "out"
    folder.mkdir()
    command = [sys.executable, "-c", SLOW, *words, str(folder / "all.tar")]
    with subprocess.Popen(command, cwd=ROOT, env=os.environ | more) as writing:
        until("it writes", lambda: list(folder.glob("*.partial")), 120)
        writing.terminate()
        assert writing.wait(30) == 143
    assert not list(folder.iterdir())


@pytest.mark.parametrize("where", ["me:s3cret@/shop?", "me@/shop?password=s3cret&"])
def test_the_copy_goes_where_the_whole_address_says(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: dict[str, Any] = {}

    def run(command: list[str], env: dict[str, str], **_how: Any) -> subprocess.CompletedProcess[str]:
        ran.update(command=command, env=env)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setenv("DATABASE_OWNER_URL", f"postgresql://{where}host=/s&sslmode=verify-full")

    databases._run(["pg_dump", "--format=custom"])

    [address] = [word.removeprefix("--dbname=") for word in ran["command"] if word.startswith("--dbname=")]
    assert conninfo_to_dict(address) == {"dbname": "shop", "user": "me", "host": "/s", "sslmode": "verify-full"}
    assert ran["env"]["PGPASSWORD"] == "s3cret"


@pytest.mark.parametrize(("url", "password"), [
    ("postgresql://me@/shop", "apart"),
    ("postgresql://me@/shop?password=second", "apart"),
    ("postgresql://me:first@/shop", "first"),
])  # fmt: skip
def test_a_password_that_stands_apart_from_the_address_is_given_too(
    url: str, password: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "password").write_text("apart\n")
    monkeypatch.setenv("DATABASE_OWNER_URL", url)
    monkeypatch.setenv("DATABASE_PASSWORD_FILE", str(tmp_path / "password"))
    connected = database(url)

    assert databases._conninfo(url)[1] == password == (connected["PASSWORD"] or connected["OPTIONS"]["password"])


@pytest.mark.parametrize(("word", "said"), [("nonsense", "invalid connection option"), ("sslpassword", "all could")])
def test_a_word_that_no_copy_may_carry_is_refused(word: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_OWNER_URL", f"postgresql://me@db/shop?{word}=1")

    with pytest.raises(databases.CannotCopy, match=said):
        databases._run(["pg_dump"])


def test_an_artifact_that_is_damaged_on_disk_stops_a_backup_and_is_named(client: Client, tmp_path: Path) -> None:
    [(digest, _at)] = store_of(client.pk).listed()
    store_of(client.pk).path(digest).write_bytes(b"something else")

    with pytest.raises(CommandError, match=f"{digest[:12]} is damaged"):
        call_command("backup", str(tmp_path / "all.tar"))


def test_a_ledger_that_lost_its_end_after_the_backup_is_noticed(made: Path, client: Client) -> None:
    found = archive.check(made)
    assert list(manifest.torn(found)) == []
    seq, _digest = found.heads["acorn"]

    longer = found.model_copy(update={"heads": {"acorn": (seq + 1, "0" * 64)}})
    assert list(manifest.torn(longer)) == [f"acorn: act {seq + 1} is missing"]


def test_after_a_new_key_every_secret_is_sealed_with_it(client: Client, settings: Any) -> None:
    host = factories.make_host(client)
    with factories.inside(client):
        set_access(host, Access(header="X-Door", value="a secret"), actor="tests", now=factories.NOW)
    first, settings.SECRET_KEY = settings.SECRET_KEY, "n" * 50

    said = StringIO()
    with pytest.raises(CommandError, match="cannot be read with this installation's secret key"):
        call_command("reseal", stdout=said)
    settings.SECRET_KEY_FALLBACKS = [first]
    call_command("reseal", stdout=said)

    settings.SECRET_KEY_FALLBACKS = []
    with factories.inside(client):
        assert Host.objects.get().secret()["value"] == "a secret"
    assert "1 secrets are sealed with the key in use." in said.getvalue()
