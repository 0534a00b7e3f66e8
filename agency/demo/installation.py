"""A fresh embedded installation for the demo: its own folder, ports, agency, people, clients, hosts and keys."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
from django.core.management import call_command
from django.utils.timezone import now

from agency.demo.clients import DemoClient
from agency.demo.display import preparing
from agency.demo.outside import Api, DemoFailed, Person
from agency.demo.proxy import FaultProxy
from agency.embedded.processes import Group, Ports, commands
from tenants import actions, scope
from tenants.models import Agency, Role

PASSWORD = "retune-demo-2026"
OWNER = "owner@retune-demo.example"
READER = "reader@heronbrook.example"
HOST = "demo-host"
STARTUP_S = 90.0
VERBS = ["examples", "feedback", "runs", "versions", "rollback", "gateway"]


@dataclass
class Installation:
    """What the acts need to know of it."""

    url: str
    proxy: FaultProxy
    group: Group
    agency: Agency
    keys: dict[str, str]

    def api(self, client: DemoClient) -> Api:
        return Api(self.url, self.keys[client.slug], client.pipeline)

    def owner(self) -> Person:
        return Person(self.url, OWNER, PASSWORD)

    def add_client(self, client: DemoClient, base: str) -> None:
        """As the onboarding pages do it: client, host (behind the proxy), pipeline, evaluation sets, key."""
        with scope.agency_scope(self.agency.pk):
            row = actions.create_client(self.agency, client.name, client.slug, OWNER, now(), client.timezone)
        with scope.client_scope(row.pk, self.agency.pk):
            actions.add_host(row, HOST, f"http://127.0.0.1:{self.proxy.port}", OWNER, now())
            title = client.pipeline.title()
            pipeline = actions.create_pipeline(row, title, client.pipeline, client.settings(base), OWNER, now())
            for kind in ("heldout", "regression", "safety"):
                cases = client.cases(kind)
                if cases:
                    actions.put_eval_set(pipeline, kind, cases, OWNER, now())
            self.keys[client.slug] = actions.issue_key(row, "demo", VERBS, OWNER, now())[1]
        if client.slug == "heronbrook":
            with scope.agency_scope(self.agency.pk):
                actions.add_member(self.agency, READER, Role.READER, OWNER, now(), password=PASSWORD, client=row)


@contextlib.contextmanager
def installed(var: Path, port: int) -> Iterator[Installation]:
    """Everything running; ends with it. `var` must be fresh: the caller has emptied it.

    Two job workers, so that both clients' trainings go on side by side.
    """
    ports = Ports(web=free_port(port), host=free_port())
    url = f"http://127.0.0.1:{ports.web}"
    with preparing(3) as step:
        step("database")
        call_command("migrate", verbosity=0)
        step("static files")
        call_command("collectstatic", verbosity=0, interactive=False)
        step("agency")
        agency = actions.found_agency("Retune Demo", "retune-demo", OWNER, PASSWORD, now())[0]
    proxy = FaultProxy(f"http://127.0.0.1:{ports.host}", free_port())
    with (var / "demo.log").open("a") as log:
        group = Group(log, {"RETUNE_VAR": str(var), "RETUNE_BASE_URL": url, "RETUNE_JOB_WORKERS": "2"})
        try:
            with preparing(2) as step:
                step("processes")
                for name, command in commands(ports, var).items():
                    group.start(name, command)
                proxy.start()
                wait_for(url, group)
                step("model host")
                wait_for(proxy.upstream, group)
            yield Installation(url, proxy, group, agency, {})
        finally:
            group.stop()


def wait_for(url: str, group: Group) -> None:
    deadline = time.monotonic() + STARTUP_S
    while time.monotonic() < deadline and not group.dead():
        with contextlib.suppress(httpx2.HTTPError):
            if httpx2.get(url, timeout=5).status_code < 500:
                return
        time.sleep(0.2)
    raise DemoFailed(f"{url} did not come up; dead: {group.dead()}. See demo.log.")


def free_port(wanted: int = 0) -> int:
    """`wanted` if nobody holds it, else one that is free now."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", wanted))
        except OSError:
            if not wanted:
                raise
            return free_port()
        return int(sock.getsockname()[1])


def reenter(var: Path) -> None:
    """The demo's commands must see its own installation: the environment is read when Django's settings load."""
    if os.environ.get("RETUNE_VAR") != str(var):
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | {"RETUNE_VAR": str(var)})
