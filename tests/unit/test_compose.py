"""The description of a production installation: whole, without a password, and fitting the program that it starts."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import get_commands

from agency.celery import QUEUES
from agency.settings import VANISHED, database
from tenants.postgresql.roles import Login
from tools import make_secrets

ROOT = Path(__file__).resolve().parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
APP = {name: service for name, service in SERVICES.items() if service["image"] == "retune"}


def test_the_file_is_what_the_specification_of_compose_allows() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    found = subprocess.run([*command, "docker-compose.yml"], cwd=ROOT, capture_output=True, text=True, check=False)

    assert found.returncode == 0, found.stdout


def test_the_services_are_all_there() -> None:
    workers = "worker-default worker-push worker-jobs worker-gpu"
    wanted = f"web gateway {workers} ticker migrate postgres redis ollama mailpit"

    assert set(SERVICES) == set(wanted.split())


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_says_when_it_is_healthy_or_runs_once(name: str) -> None:
    service = SERVICES[name]

    assert "healthcheck" in service or service["restart"] == "no"


@pytest.mark.parametrize("name", APP)
def test_the_app_runs_without_rights(name: str) -> None:
    service = APP[name]

    assert service["user"] not in ("0", "root")
    assert service["cap_drop"] == ["ALL"] and service["read_only"]
    assert service["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize("name", APP)
def test_whatever_stands_in_the_env_file_reaches_the_process(name: str) -> None:
    assert APP[name]["env_file"] == [{"path": ".env", "required": False}]


@pytest.mark.parametrize("name", APP)
def test_what_is_temporary_lies_on_the_disk_and_not_in_memory(name: str) -> None:
    given = APP[name]["environment"]

    assert Path(given["TMPDIR"]).parent == Path(given["RETUNE_VAR"]) and APP[name]["volumes"] == ["data:/data"]


def test_a_folder_for_what_is_temporary_is_made_at_the_start(tmp_path: Path) -> None:
    words = "from django.conf import settings; settings.DEBUG; import tempfile; print(tempfile.gettempdir())"
    own = os.environ | {"TMPDIR": str(tmp_path / "data" / "tmp"), "DJANGO_SETTINGS_MODULE": "agency.settings"}

    told = subprocess.run([sys.executable, "-c", words], cwd=ROOT, env=own, capture_output=True, text=True, check=True)

    assert told.stdout.strip() == own["TMPDIR"] and Path(own["TMPDIR"]).stat().st_mode & 0o077 == 0


def test_a_training_on_a_gpu_has_room_for_what_cuda_maps() -> None:
    given = APP["worker-gpu"]["environment"]

    assert given.items() >= COMPOSE["x-app"]["environment"].items()
    assert given["RETUNE_CHILD_MEMORY_BYTES"] == "${RETUNE_CHILD_MEMORY_BYTES:-1099511627776}"


def test_the_image_can_send_traces() -> None:
    assert "tools/requirements.py otel" in (ROOT / "Dockerfile").read_text()


def test_every_secret_comes_from_a_file_that_is_declared_and_made() -> None:
    used = {secret for service in SERVICES.values() for secret in service.get("secrets", ())}

    assert used == set(COMPOSE["secrets"]) == set(make_secrets.drawn())


def test_no_password_stands_in_the_file() -> None:
    values = {key: str(value) for service in SERVICES.values() for key, value in service.get("environment", {}).items()}
    secret = {
        key: value for key, value in values.items() if any(word in key for word in ("PASSWORD", "SECRET", "_URL"))
    }

    shown = {key: value for key, value in secret.items() if not value.startswith("/run/secrets/")}
    assert shown.pop("RETUNE_HEARTBEAT_URL") == "${RETUNE_HEARTBEAT_URL:-}"  # Comes from outside, or not at all.
    assert shown.keys() == {"RETUNE_BASE_URL", "RETUNE_GATEWAY_URL"}


def test_only_the_migration_holds_the_owners_secrets() -> None:
    holders = {name for name, service in APP.items() if "database_owner_url" in service["secrets"]}

    assert holders == {"migrate"}


def test_every_queue_has_a_worker_and_no_training_is_in_the_way_of_a_rollback() -> None:
    queues = {
        name: set(re.sub(r"\$\{\w+:-(.*)\}", r"\1", service["command"][5]).split(","))
        for name, service in APP.items()
        if "celery" in service["command"] and "profiles" not in service
    }

    assert set.union(*queues.values()) == set(QUEUES)
    assert [served for served in queues.values() if served & {"default", "push"} and len(served) > 1] == []


def test_the_commands_that_are_started_exist() -> None:
    lines = [" ".join(map(str, service["command"])) for service in APP.values()]
    called = {words.split()[0] for line in lines for words in line.split("manage.py ")[1:]}

    assert called and called <= set(get_commands())


def test_the_stores_are_reachable_from_inside_only() -> None:
    assert COMPOSE["networks"]["inside"]["internal"]
    for name in ("postgres", "redis", "ollama"):
        assert SERVICES[name]["networks"] == ["inside"] and "ports" not in SERVICES[name]


def test_what_the_image_copies_is_not_ignored() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    copied = {
        name for line in lines if line.startswith("COPY ") and "--from" not in line for name in line.split()[1:-1]
    }
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}

    assert copied == kept
    assert [name for name in sorted(copied) if not (ROOT / name).exists()] == []


def test_the_drawn_addresses_fit_together(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"

    assert make_secrets.make(folder)

    text = {path.name: path.read_text() for path in folder.iterdir()}
    owner, app = Login.of(text["database_owner_url"]), Login.of(text["database_url"])
    assert owner.database == app.database and owner.user != app.user
    assert database(text["database_url"])["ENGINE"] == "tenants.postgresql"
    assert text["postgres_password"] == Login.of(text["database_admin_url"]).password
    assert text["redis_password"] in text["redis_url"]
    assert folder.stat().st_mode & 0o077 == 0


def test_secrets_are_never_drawn_twice(tmp_path: Path) -> None:
    make_secrets.make(tmp_path)
    before = (tmp_path / "secret_key").read_text()

    assert not make_secrets.make(tmp_path)
    assert (tmp_path / "secret_key").read_text() == before


def test_what_the_how_tos_start_and_override_is_there() -> None:
    pages = {page.name: page.read_text() for page in (ROOT / "docs/how-to").glob("*.md")}
    started = [words.split() for text in pages.values() for words in re.findall(r"docker compose up -d([^`\n]*)", text)]
    override = yaml.safe_load(re.findall(r"   ```yaml\n(.*?)```", pages["two-servers.md"], re.DOTALL)[0])["services"]

    assert {word for words in started for word in words if not word.startswith("-")} <= set(SERVICES)
    assert set(override) <= set(SERVICES) and override["worker-jobs"] == {"deploy": {"replicas": 0}}


def test_the_back_is_never_told_to_start_what_the_front_has() -> None:
    """`--no-deps` and two names: a bare `up` there would be a second installation."""
    page = (ROOT / "docs/how-to/two-servers.md").read_text()
    assert re.findall(r"\*\*Back:\*\* `docker compose up -d (.*?)`", page) == ["--no-deps worker-jobs"]


def test_a_database_that_vanished_is_noticed_within_seconds_unless_its_address_says_otherwise() -> None:
    plain = database("postgresql://app:secret@db:5432/retune")
    told = database("postgresql://app:secret@db:5432/retune?sslmode=require&connect_timeout=2")
    socket = database("postgresql:///retune?host=/run/postgresql")

    assert plain["OPTIONS"] == VANISHED and VANISHED["connect_timeout"] + VANISHED["tcp_user_timeout"] / 1000 <= 20
    assert told["NAME"] == "retune" and told["OPTIONS"] == VANISHED | {"sslmode": "require", "connect_timeout": "2"}
    assert socket["HOST"] == "" and socket["OPTIONS"] == VANISHED | {"host": "/run/postgresql"}
