"""Every command of docker-compose.yml as a process, with its environment and its secrets by file, against servers
that are thrown away. Each becomes healthy by its own health check, which failed before; then they work together.

What a container has of its own is put in its place: paths, ports, its host's name. The images of others (PostgreSQL,
Ollama, Mailpit) have no command here; of PostgreSQL its health check is asked.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiosmtpd.controller import Controller
from django.utils.timezone import now

from pipelines import actions
from pipelines.engine import dispatch
from pipelines.models import Notice, Run
from tests import factories, servers
from tests.contract.test_notifiers import Inbox
from tests.engines.processes import DIE_WITH_PARENT, until
from tests.faults.test_real_workers import Deaf
from tests.flow.conftest import lines
from tests.installation import as_default
from tools import make_secrets
from tools.setup_system import find

ROOT = Path(__file__).resolve().parents[2]
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
OURS = tuple(name for name, service in SERVICES.items() if "command" in service)
ENDS_BY_ITSELF = "migrate"
HEALTHY_S, STOPPED_S = 300.0, 120.0


@dataclass
class Place:
    """What takes the place of the containers: a folder, ports, programs that find their server."""

    folder: Path
    settings: dict[str, str]  # What stands in .env.
    ports: dict[str, str] = field(default_factory=dict)
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def here(self, text: str) -> str:
        """A value of the file as it reads on this machine."""
        said = re.sub(r"\$\{(\w+):-([^}]*)\}", lambda found: self.settings.get(found[1], found[2]), text)
        for there, ours in {
            "/run/secrets/": f"{self.folder}/secrets/",
            "/run/redis/": f"{self.folder}/redis/",
            "0.0.0.0": "127.0.0.1",
            **self.ports,
        }.items():
            said = said.replace(there, ours)
        return f"{self.folder}/data" if said == "/data" else said.replace("$$", "$")

    def environment(self, name: str) -> dict[str, str]:
        """What the service's process sees, and nothing of this shell's."""
        given = {key: self.here(str(value)) for key, value in SERVICES[name].get("environment", {}).items()}
        if "env_file" in SERVICES[name]:
            given = self.settings | given
        path = f"{self.folder}/bin:{Path(sys.executable).parent}:{os.environ['PATH']}"
        own = {"PATH": path, "CELERY_WORKER_HOSTNAME": f"celery@{name}", "HOME": str(self.folder)}
        return {**own, "PYTHONUNBUFFERED": "1", **given}

    def start(self, name: str) -> subprocess.Popen[bytes]:
        command = [self.here(str(word)) for word in SERVICES[name]["command"]]
        with (self.folder / f"{name}.log").open("ab") as log:
            with_us = [sys.executable, "-c", DIE_WITH_PARENT, "/usr/bin/env", *command]
            child = subprocess.Popen(
                with_us, cwd=ROOT, env=self.environment(name), stdout=log, stderr=subprocess.STDOUT
            )
        self.running[name] = child
        return child

    def is_healthy(self, name: str) -> bool:
        kind, *words = (self.here(str(word)) for word in SERVICES[name]["healthcheck"]["test"])
        # Each container has a name of its own; here all stand on one machine.
        command = words if kind == "CMD" else ["sh", "-c", words[0].replace("$(uname -n)", name)]
        asked = subprocess.run(
            command, cwd=ROOT, env=self.environment(name), capture_output=True, timeout=120, check=False
        )
        return asked.returncode == 0

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def stop(self) -> dict[str, float]:
        """Told to end as a container is; seconds that each took."""
        took, began = {}, time.monotonic()
        for child in self.running.values():
            child.terminate()
        for name, child in self.running.items():
            child.wait(STOPPED_S)
            took[name] = time.monotonic() - began
        return took

    def kill(self) -> None:
        for child in self.running.values():
            child.kill()
            child.wait()


def program(folder: Path, name: str, options: str) -> None:
    """The server's program as the container has it: without an address, it finds the one of its own."""
    path = folder / "bin" / name
    path.write_text(f"#!/bin/sh\nexec {shlex.quote(str(find(name)))} {options}\n")
    path.chmod(0o755)


@contextmanager
def laid_out(folder: Path) -> Iterator[tuple[Place, Inbox]]:
    with ExitStack() as stack:
        postgres = stack.enter_context(servers.restartable_postgres()).server
        inbox = Inbox()
        smtp = Controller(inbox, hostname="127.0.0.1", port=servers.free_port())
        smtp.start()
        stack.callback(smtp.stop)
        for name in ("data", "redis", "bin"):
            (folder / name).mkdir()
        redis_port = servers.free_port()
        make_secrets.make(folder / "secrets", f"127.0.0.1:{postgres.port}", f"127.0.0.1:{redis_port}")
        (folder / "secrets" / "database_admin_url").write_text(postgres.admin_url)
        program(folder, "redis-server", f'"$@" --port {redis_port} --bind 127.0.0.1 --dir {folder}/redis')
        program(folder, "redis-cli", f'-p {redis_port} "$@"')
        program(folder, "pg_isready", f'-p {postgres.port} "$@"')
        outside = {"RETUNE_BASE_URL": "https://retune.example", "RETUNE_ALLOWED_HOSTS": "retune.example"}
        settings = outside | {"RETUNE_SMTP_HOST": "127.0.0.1", "RETUNE_SMTP_PORT": str(smtp.port)}
        ports = {port: str(servers.free_port()) for port in ("8420", "8430")}
        place = Place(folder, settings, ports)
        stack.callback(place.kill)
        yield place, inbox


def test_each_service_becomes_healthy_and_together_they_do_a_piece_of_work(
    tmp_path: Path, django_db_blocker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "engine", Deaf)  # The ticker has to find what is due, and a worker to do it.
    with laid_out(tmp_path) as (place, inbox):
        assert place.is_healthy("postgres")
        for name in ["redis", ENDS_BY_ITSELF, *(name for name in OURS if name not in ("redis", ENDS_BY_ITSELF))]:
            becomes_healthy(place, name)
        whole(place)
        with django_db_blocker.unblock(), as_default((tmp_path / "secrets" / "database_url").read_text()):
            mails(inbox, place)
        took = place.stop()
    late = {name: seconds for name, seconds in took.items() if seconds > STOPPED_S / 2}
    assert not late, "told to end, they end in order"


def becomes_healthy(place: Place, name: str) -> None:
    if name == ENDS_BY_ITSELF:
        assert place.start(name).wait(3 * HEALTHY_S) == 0, place.log(name)
        del place.running[name]
        return
    assert not place.is_healthy(name), f"{name} is said to be healthy before it runs"
    child, until_s = place.start(name), time.monotonic() + HEALTHY_S
    while not place.is_healthy(name):
        assert child.poll() is None and time.monotonic() < until_s, f"{name}: {place.log(name)[-3000:]}"
        time.sleep(0.2)


def whole(place: Place) -> None:
    """The doctor of the web's container finds nothing, by the same environment and secrets."""
    command = [sys.executable, "manage.py", "doctor"]
    said = subprocess.run(
        command, cwd=ROOT, env=place.environment("web"), capture_output=True, text=True, timeout=300, check=False
    )
    bad = [line for line in said.stdout.splitlines() if line.startswith("BAD") and "GB free" not in line]
    assert not bad, said.stdout + said.stderr
    assert "127.0.0.1" in said.stdout and "redis" in said.stdout


def mails(inbox: Inbox, place: Place) -> None:
    """A run over a spoiled batch is stopped by ticker and worker; the mail that says so arrives."""
    pipeline = factories.make_pipeline(data={"min_new_examples": 10}, triggers={"new_examples": None})
    with factories.inside(pipeline):
        spoiled = [*lines(0, 20), *([b'{"messages": []}'] * 5)]
        actions.add_examples(pipeline, spoiled, token="t", actor="tests", now=now())
        run = actions.start_run(pipeline, actor="owner", now=now())
        ended = lambda: Run.objects.get(pk=run.pk).status == "stopped"  # noqa: E731
        until("the run is over", ended, 120, place.folder / "worker-default.log")
        sent = lambda: Notice.objects.filter(sent_at__isnull=False).exists()  # noqa: E731
        until("its mail is sent", sent, 120, place.folder / "worker-default.log")
    assert any("team@north.example" in str(mail["X-RcptTo"]) for mail in inbox.mails)


@pytest.mark.parametrize("name", [name for name in SERVICES if name not in OURS])
def test_what_has_no_command_of_ours_is_another_ones_image(name: str) -> None:
    assert SERVICES[name]["image"] != "retune"
