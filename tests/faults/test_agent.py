"""The packed retune-agent beside a host that only it can reach, and headquarters as a process of its own."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
from django.conf import settings
from django.db import connection
from django.utils import timezone

from agency.machines.programs import AGENT, offered, pack
from pipelines.artifacts import store_of
from pipelines.hosts import HostDown, HostRefused
from pipelines.hosts.release import place
from pipelines.models import Exchange, ModelVersion, Placement, Traffic
from pipelines.reach import open_row
from pipelines.shipping.route import flip
from pipelines.work.gguf_header import check
from tenants.machines import agents
from tenants.models import Client, Host, HostAgent, HostCall, Pipeline
from tests import factories
from tests.contract.test_hosts import release_of
from tests.engines.processes import ROOT, until
from tests.faults.cutting_proxy import CuttingProxy
from tests.servers import free_port
from tests.unit.ollama_host.host_process import running_host
from tests.unit.ollama_host.tiny_gguf import write_model

pytestmark = pytest.mark.sqlite_only("starts headquarters on the tests' SQLite file")
ASK = {"model": "support", "messages": [{"role": "user", "content": "hello"}], "stream": False}
LARGE_BYTES = 128 * 2**20
GREEDY = {"options": {"temperature": 0, "num_predict": 4}}


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@dataclass
class Process:
    """One that may be ended by kill -9 and started again, on the same port."""

    command: list[str]
    environment: dict[str, str]
    log: Path
    port: int
    running: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.running = subprocess.Popen(self.command, cwd=ROOT, env=self.environment, stdout=log, stderr=log)
        until(f"port {self.port} is open", lambda: listens(self.port), 120, self.log)

    def kill(self) -> None:
        if self.running is not None:
            self.running.send_signal(signal.SIGKILL)
            self.running.wait(30)
            self.running = None


def headquarters(var: Path) -> Process:
    """Web and gateway in one process, on this test's database and artifacts."""
    port = free_port()
    own = {"RETUNE_VAR": str(var), "RETUNE_SECRET_KEY": settings.SECRET_KEY, "RETUNE_ENGINE": "q2"}
    own |= {"DATABASE_URL": f"sqlite://{connection.settings_dict['NAME']}", "RETUNE_GATEWAY_NAME": "hq"}
    command = [sys.executable, "-m", "uvicorn", "agency.asgi:application", "--host", "127.0.0.1", "--port", str(port)]
    return Process(command, os.environ | own, var / "hq.log", port)


def agent_process(var: Path, hq_port: int, token: str, ollama: str) -> Process:
    """With an environment of its own: nothing of this installation but the file."""
    port = free_port()
    env = {key: os.environ[key] for key in ("PATH", "LANG", "HOME") if key in os.environ}
    env |= {"RETUNE_URL": f"http://127.0.0.1:{hq_port}", "RETUNE_TOKEN": token, "RETUNE_OLLAMA_URL": ollama}
    env |= {"RETUNE_LISTEN": f"127.0.0.1:{port}", "RETUNE_WORK_DIR": str(var / "agent"), "RETUNE_PAUSE_S": "1"}
    pack(var / "retune-agent.pyz", AGENT)
    return Process([sys.executable, str(var / "retune-agent.pyz")], env, var / "agent.log", port)


@dataclass
class Behind:
    """A client whose host is behind its agent, with two versions to serve."""

    client: Client
    host: Host
    pipeline: Pipeline
    versions: dict[int, ModelVersion]
    hq: Process
    agent: Process
    key: str
    files: dict[int, Path] = field(default_factory=dict)

    def adapter(self, timeout_s: float = 60.0) -> Any:
        return closing(open_row(self.host, timeout_s))

    def push(self, number: int) -> Any:
        """As a push does it, through the agent; then as its job records it."""
        version = self.versions[number]
        name = f"deploy.invalid/{self.client.slug}/support:v{number}"
        with factories.inside(self.client), self.adapter() as adapter:
            found = place(adapter, release_of(self.files[number], name), check)
            Placement.objects.update_or_create(
                version=version, host=self.host, defaults={"model_name": name, "status": "placed"},
                create_defaults={
                    "agency_id": version.agency_id, "client_id": version.client_id, "model_name": name,
                    "status": "placed", "placed_at": timezone.now(),
                },
            )  # fmt: skip
        return found

    def flip(self, number: int) -> None:
        with factories.inside(self.client):
            flip(self.versions[number], timezone.now())

    def seconds_to(self, number: int) -> float:
        """From the committed route to the first answer of that version, asked without a pause."""
        self.flip(number)
        began = time.monotonic()
        until(f"it serves v{number}", lambda: self.version() == f"v{number}", 10, self.agent.log)
        return time.monotonic() - began

    def chat(self) -> httpx2.Response:
        """Asked of the agent's own gateway with the client's key."""
        headers = {"Authorization": f"Bearer {self.key}"}
        return httpx2.post(
            f"http://127.0.0.1:{self.agent.port}/api/chat", json=ASK | GREEDY, headers=headers, timeout=30
        )

    def version(self) -> str:
        return self.chat().headers.get("x-retune-version", "")

    def row(self) -> HostAgent:
        with factories.inside(self.client):
            return HostAgent.objects.get(host=self.host)

    def exchanges(self) -> int:
        with factories.inside(self.client):
            return Exchange.objects.count()


@contextmanager
def laid(var: Path, through: Callable[[int], int] = lambda port: port) -> Iterator[Behind]:
    client = factories.make_client(slug="acorn")
    with factories.inside(client):
        host, token = agents.add_agent_host(client, "shop", actor="tests", now=timezone.now())
        Host.objects.filter(pk=host.pk).update(due_at=None)
    pipeline = factories.make_pipeline(client)
    runs = [factories.make_production(pipeline) for _ in range(2)]
    made = {}
    with factories.inside(client):
        versions = {run.model_version.number: run.model_version for run in runs}
        Placement.objects.all().delete()
        for number, version in versions.items():
            model = write_model(var / f"v{number}.gguf", seed=number)
            version.gguf_digest = store_of(client.pk).put_file(model)
            version.save()
            made[number] = store_of(client.pk).path(version.gguf_digest)
    hq = headquarters(var)
    with running_host(var / "store", "B") as ollama:
        agent = agent_process(var, through(hq.port), token, ollama)
        behind = Behind(client, host, pipeline, versions, hq, agent, factories.make_key(client, "gateway"), made)
        try:
            hq.start()
            agent.start()
            until("the agent was heard of", lambda: behind.row().last_seen_at is not None, 30, agent.log)
            yield behind
        finally:
            agent.kill()
            hq.kill()


@pytest.fixture
def behind(transactional_db: None, tmp_path: Path) -> Iterator[Behind]:
    with laid(tmp_path) as found:
        yield found


def test_a_version_is_pushed_served_and_rolled_back_through_the_agent(behind: Behind) -> None:
    found = behind.push(1), behind.push(2)
    assert all(one.bytes_sent > 0 and one.is_resident for one in found)
    behind.flip(1)
    until("the agent's gateway serves v1", lambda: behind.version() == "v1", 20, behind.agent.log)
    assert behind.chat().json()["message"]["content"]
    took = [behind.seconds_to(number) for number in (2, 1, 2, 1, 2, 1)]
    print(f"from the committed route to the first answer of the other version, s: {[round(one, 2) for one in took]}")
    assert max(took) < 3.0
    with factories.inside(behind.client):
        assert not HostCall.objects.exists()


def test_headquarters_gone_the_gateway_serves_on_and_its_records_arrive_once(behind: Behind) -> None:
    behind.push(1)
    behind.flip(1)
    until("the agent's gateway serves v1", lambda: behind.version() == "v1", 20, behind.agent.log)
    until("its records are here", lambda: behind.exchanges() > 0, 20, behind.agent.log)
    time.sleep(1.5)  # What was still on its way.
    before = behind.exchanges()

    behind.hq.kill()
    assert [behind.chat().status_code for _ in range(5)] == [200] * 5
    time.sleep(1.0)  # The meter writes twice a second.
    behind.agent.kill()
    behind.agent.start()
    assert [behind.version() for _ in range(5)] == ["v1"] * 5
    assert behind.exchanges() == before

    behind.hq.start()
    began = time.monotonic()
    until("all ten are here", lambda: behind.exchanges() >= before + 10, 60, behind.agent.log)
    print(f"records were here {time.monotonic() - began:.1f} s after headquarters was back")
    time.sleep(2.0)
    assert behind.exchanges() == before + 10
    with factories.inside(behind.client):
        assert sum(Traffic.objects.values_list("requests", flat=True)) == before + 10
        assert set(Exchange.objects.values_list("host", flat=True)) == {"shop"}
    spooled = [*(Path(behind.agent.environment["RETUNE_WORK_DIR"]) / "records").iterdir()]
    assert spooled == []


def test_a_file_that_does_not_arrive_as_it_was_sent_never_reaches_the_host(behind: Behind) -> None:
    sent = behind.files[1]
    body = bytearray(sent.read_bytes())
    whole = sent.with_name("whole")
    whole.write_bytes(body)
    body[-1] ^= 1
    sent.chmod(0o600)
    sent.write_bytes(body)
    with factories.inside(behind.client), behind.adapter() as adapter:
        digest = f"sha256:{behind.versions[1].gguf_digest}"
        with pytest.raises(HostRefused, match="received other bytes than were sent"):
            adapter.push_blob(sent, digest)
        assert not adapter.has_blob(digest)
        sent.write_bytes(whole.read_bytes())
        assert adapter.push_blob(sent, digest) == len(body)
        assert adapter.has_blob(digest)
    assert not any((Path(behind.agent.environment["RETUNE_WORK_DIR"]) / "files").iterdir())


def test_an_agent_killed_in_a_push_goes_on_with_the_same_call_and_sends_no_byte_twice(
    transactional_db: None, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        proxies: list[CuttingProxy] = []

        def through(port: int) -> int:
            proxies.append(stack.enter_context(CuttingProxy(port, cut=0.0, most_bytes=1, seed=1).listening()))
            return proxies[0].port

        behind = stack.enter_context(laid(tmp_path, through))
        path = tmp_path / "large"
        path.write_bytes(os.urandom(LARGE_BYTES))
        with factories.inside(behind.client):
            bare = store_of(behind.client.pk).put_file(path)
            sent = store_of(behind.client.pk).path(bare)
        part = tmp_path / "agent" / "files" / bare
        told: list[int] = []
        pushing = threading.Thread(target=lambda: pushed(behind, sent, bare, told))
        pushing.start()
        until("some of it is there", lambda: part.exists() and part.stat().st_size > LARGE_BYTES // 8, 60)
        behind.agent.kill()
        at = part.stat().st_size
        assert at < LARGE_BYTES
        began = time.monotonic()
        behind.agent.start()
        pushing.join(60)
        print(f"killed at {at / LARGE_BYTES:.0%}; done {time.monotonic() - began:.1f} s after it was started again")
        assert told[-1] >= LARGE_BYTES - 2**20 and told == sorted(told)
        assert len(set(told)) > 3  # The page saw it come.
        assert proxies[0].passed_bytes < LARGE_BYTES * 1.06
        with factories.inside(behind.client), behind.adapter() as adapter:
            assert adapter.has_blob(f"sha256:{bare}")
            assert not HostCall.objects.exists()
        assert not part.exists()


def pushed(behind: Behind, path: Path, bare: str, told: list[int]) -> None:
    with factories.inside(behind.client), behind.adapter() as adapter:
        adapter.push_blob(path, f"sha256:{bare}", lambda done, _total: told.append(done))
    connection.close()


def test_a_flaky_link_costs_time_and_nothing_else(transactional_db: None, tmp_path: Path) -> None:
    with ExitStack() as stack:
        proxies: list[CuttingProxy] = []

        def through(port: int) -> int:
            proxy = CuttingProxy(port, cut=0.2, most_bytes=20_000, seed=3)
            proxies.append(stack.enter_context(proxy.listening()))
            return proxy.port

        behind = stack.enter_context(laid(tmp_path, through))
        behind.push(1)
        behind.flip(1)
        until("the agent's gateway serves v1", lambda: behind.version() == "v1", 60, behind.agent.log)
        asked = sum(behind.chat().status_code == 200 for _ in range(5)) + 1
        until("all are here", lambda: behind.exchanges() >= asked, 60, behind.agent.log)
        time.sleep(2.0)
        assert behind.exchanges() == asked
        assert proxies[0].cuts > 0


def test_only_an_agent_started_to_do_so_takes_the_program_that_headquarters_offers(behind: Behind) -> None:
    """Another file, as of an older release; first without the word, then with it."""
    packed = Path(behind.agent.command[-1])
    behind.agent.kill()
    with zipfile.ZipFile(packed, "a") as archive:
        archive.writestr("older.txt", "of another release")
    older, ours = hashlib.sha256(packed.read_bytes()).hexdigest(), offered(AGENT).digest
    behind.agent.start()
    until("it says what it runs", lambda: behind.row().said["program"] == older, 30, behind.agent.log)
    until("it says what to do", lambda: "run `update`" in behind.agent.log.read_text(), 30)
    assert hashlib.sha256(packed.read_bytes()).hexdigest() == older

    behind.push(1)
    behind.flip(1)
    until("the agent's gateway serves v1", lambda: behind.version() == "v1", 20, behind.agent.log)
    behind.agent.kill()
    behind.agent.command.append("--update")
    behind.agent.start()
    until("it runs what is offered", lambda: behind.row().said["program"] == ours, 60, behind.agent.log)
    assert hashlib.sha256(packed.with_name(f"{packed.name}.before").read_bytes()).hexdigest() == older
    until("it serves as before", lambda: behind.version() == "v1", 30, behind.agent.log)
    assert behind.agent.running is not None and behind.agent.running.poll() is None  # The very same process.


def test_a_revoked_agent_is_told_nothing_and_serves_on(behind: Behind) -> None:
    behind.push(1)
    behind.push(2)
    behind.flip(1)
    until("the agent's gateway serves v1", lambda: behind.version() == "v1", 20, behind.agent.log)
    with factories.inside(behind.client):
        agents.revoke_agent(behind.host, actor="tests", reason="asked by a test", now=timezone.now())
        with behind.adapter() as adapter, pytest.raises(HostDown, match="nobody takes the connection"):
            adapter.probe()
    until("its gateway is told nothing", lambda: "does not know this token" in behind.agent.log.read_text(), 30)
    behind.flip(2)
    time.sleep(1.5)
    assert behind.version() == "v1"

    with factories.inside(behind.client):
        token = agents.renew_token(behind.host, actor="tests", reason="asked by a test", now=timezone.now())
    behind.agent.kill()
    behind.agent.environment["RETUNE_TOKEN"] = token
    behind.agent.start()
    until("the new token opens again", lambda: behind.version() == "v2", 30, behind.agent.log)


def test_the_agent_connects_out_only_and_asks_its_host_a_few_things_only(behind: Behind) -> None:
    with factories.inside(behind.client), behind.adapter() as adapter:
        refused = adapter.client.post("/api/pull", json={"model": "other"})
    assert refused.status_code == 403
    assert "nothing that this agent asks" in refused.json()["error"]
    assert behind.agent.running is not None
    opened = listening_ports(behind.agent.running.pid)
    assert opened == {behind.agent.port}


def listening_ports(pid: int) -> set[int]:
    """TCP ports on which this process listens (Linux: /proc)."""
    mine = {os.readlink(place) for place in Path(f"/proc/{pid}/fd").iterdir() if place.is_symlink()}
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in mine:
                found.add(int(fields[1].rpartition(":")[2], 16))
    return found
