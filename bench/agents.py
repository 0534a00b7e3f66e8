"""What a hundred agents cost headquarters at rest, how soon all of them have a new route, and how gigabytes reach one.

PostgreSQL, headquarters as one server process, the agents' own code; the file is sparse, and the embedded host behind
the agent hashes and writes all of it. `rss` is a process's peak over what it had before. `again` is one kill -9 of the
agent halfway: how many of the file's bytes went over the line in all.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.gateway_peers import processes
from bench.ground import on_postgresql
from bench.push import sparse
from bench.report import Figure, at_least, at_most, report, wants_json
from tests.servers import free_port

QUICK = bool(os.environ.get("BENCH_QUICK"))
AGENTS = 20 if QUICK else 100
FLIPS = 3 if QUICK else 10
REST_S = 10.0 if QUICK else 40.0
TICKS = os.sysconf("SC_CLK_TCK")
TARGETS = {
    "flip_all_s": at_most(2.0),
    "rest_cpu_share": at_most(0.2),
    "rest_mb": at_most(64),
    "agent_rss_mb": at_most(64),
    "web_rss_mb": at_most(64),
    "asker_rss_mb": at_most(64),
    "again_bytes_share": at_most(1.05),
    "mb_per_s": at_least(50),
}
# As a push's job does it; prints seconds and by how many kB the process's peak grew.
PUSH = """
import json, re, sys, time
from pathlib import Path
import django
django.setup()
from pipelines.reach import open_row
from tenants import scope
from tenants.models import Host
def memory(name):
    return int(re.search(name + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
agency, client, host, path, digest = *map(int, sys.argv[1:4]), Path(sys.argv[4]), sys.argv[5]
with scope.client_scope(client, agency):
    adapter = open_row(Host.objects.get(pk=host), 600.0)
    adapter.probe()
    rest, began = memory("VmRSS"), time.monotonic()
    sent = adapter.push_blob(path, digest, lambda done, total: None)
    print(json.dumps([time.monotonic() - began, sent, memory("VmHWM") - rest]))
"""


@dataclass
class Watched:
    """A process, by what the kernel says of it."""

    pid: int

    def memory_mb(self, name: str) -> float:
        found = re.search(rf"{name}:\s+(\d+)", Path(f"/proc/{self.pid}/status").read_text())
        assert found is not None
        return int(found[1]) / 1024

    def forget_peak(self) -> None:
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def share_of_a_core(self, seconds: float) -> float:
        before, began = self._cpu_s(), time.monotonic()
        time.sleep(seconds)
        return (self._cpu_s() - before) / (time.monotonic() - began)

    def _cpu_s(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS


def main() -> None:
    as_json = wants_json()
    figures: dict[str, Figure] = dict.fromkeys(TARGETS)
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "agency.asgi:application", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--no-access-log"]
    with on_postgresql() as (folder, _installation), processes.process(command, port) as web:
        hq = Hq(port, Watched(web.pid), folder)
        figures |= many(hq)
        figures |= large(hq)
    report("agents", figures, TARGETS, as_json)


@dataclass
class Hq:
    port: int
    web: Watched
    folder: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


# -- many agents --


@dataclass
class Crowd:
    """`news[n]`: when agent n had its latest routes."""

    news: dict[int, float] = field(default_factory=dict)

    def read(self, lines: Any) -> None:
        for line in lines:
            number, at = json.loads(line)
            self.news[number] = at

    def wait_for_all(self, since: float, within_s: float) -> float:
        """Seconds until the last of them had routes newer than `since`."""
        until = time.monotonic() + within_s
        while sum(at > since for at in list(self.news.values())) < AGENTS:
            assert time.monotonic() < until, f"{len(self.news)} agents have routes"
            time.sleep(0.02)
        return max(self.news.values()) - since


def many(hq: Hq) -> dict[str, Figure]:
    from django.utils.timezone import now

    from pipelines.shipping.route import flip
    from tenants.machines import agents
    from tenants.models import Host
    from tests import factories

    client = factories.make_client(slug="chain")
    tokens = []
    with factories.inside(client):
        for number in range(AGENTS):
            _host, token = agents.add_agent_host(client, f"shop-{number}", actor="bench", now=now())
            tokens.append(token)
        Host.objects.update(due_at=None)
    pipeline = factories.make_pipeline(client)
    versions = [factories.make_production(pipeline).model_version for _ in range(2)]

    def flipped(number: int) -> float:
        with factories.inside(client):
            flip(versions[number % 2], now())
        return time.time()

    flipped(0)
    alone, before = hq.web.share_of_a_core(REST_S / 2), hq.web.memory_mb("VmRSS")
    with crowded(hq, tokens) as crowd:
        crowd.wait_for_all(0.0, 120)
        time.sleep(15.0)  # Every one has said what it serves.
        share = hq.web.share_of_a_core(REST_S)
        took = []
        for number in range(FLIPS):
            took.append(crowd.wait_for_all(flipped(number + 1), 30))
            time.sleep(1.0)
        rest_mb = hq.web.memory_mb("VmRSS") - before
    flips = {"flip_all_s": max(took), "flip_all_median_s": sorted(took)[len(took) // 2]}
    return {"agents": AGENTS, **flips, "rest_cpu_share": share, "alone_cpu_share": alone, "rest_mb": rest_mb}


@contextmanager
def crowded(hq: Hq, tokens: list[str]) -> Iterator[Crowd]:
    child = subprocess.Popen(
        [sys.executable, "-m", "bench.agent_crowd"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdin is not None and child.stdout is not None
    crowd = Crowd()
    threading.Thread(target=crowd.read, args=(child.stdout,), daemon=True).start()
    try:
        child.stdin.write(json.dumps({"url": hq.url, "folder": str(hq.folder / "crowd"), "tokens": tokens}) + "\n")
        child.stdin.flush()
        yield crowd
    finally:
        child.kill()
        child.wait()


# -- a large file --


def large(hq: Hq) -> dict[str, Figure]:
    from django.utils.timezone import now

    from pipelines.artifacts import store_of
    from tenants.machines import agents
    from tests import factories
    from tests.faults.cutting_proxy import CuttingProxy
    from tests.unit.ollama_host.host_process import running_host

    client = factories.make_client(slug="office")
    made, digest = sparse(hq.folder)
    with factories.inside(client):
        host, token = agents.add_agent_host(client, "office", actor="bench", now=now())
        path = store_of(client.pk).path(store_of(client.pk).put_file(made))
    asked = [str(client.agency_id), str(client.pk), str(host.pk), str(path), digest]
    size, store = path.stat().st_size, hq.folder / "store"
    blob = store / "blobs" / digest.replace(":", "-")
    with running_host(store, "C") as ollama, CuttingProxy(hq.port, 0.0, 1, 1).listening() as proxy:
        with agent_beside(hq, hq.url, token, ollama) as agent:
            rest, web_rest = agent.memory_mb("VmRSS"), hq.web.memory_mb("VmRSS")
            hq.web.forget_peak()
            took, _sent, grew = pushed(asked)
            figures: dict[str, Figure] = {
                "bytes": size, "mb_per_s": size / 2**20 / took, "asker_rss_mb": grew / 1024,
                "agent_rss_mb": agent.memory_mb("VmHWM") - rest, "web_rss_mb": hq.web.memory_mb("VmHWM") - web_rest,
                "second_push_bytes": pushed(asked)[1],
            }  # fmt: skip
        blob.unlink()
        began = time.monotonic()
        at = killed_halfway(hq, token, ollama, f"http://127.0.0.1:{proxy.port}", asked)
        figures |= {"again_at_share": at / size, "again_s": time.monotonic() - began}
    return figures | {"again_bytes_share": proxy.passed_bytes / size}


def killed_halfway(hq: Hq, token: str, ollama: str, url: str, asked: list[str]) -> int:
    """How many bytes lay there when the agent was killed."""
    pushing = threading.Thread(target=pushed, args=(asked,))
    part = hq.folder / "agent" / "files" / asked[-1].removeprefix("sha256:")
    half = Path(asked[3]).stat().st_size // 2
    with agent_beside(hq, url, token, ollama) as agent:
        pushing.start()
        while not part.exists() or part.stat().st_size < half:
            time.sleep(0.02)
        os.kill(agent.pid, 9)
        here = part.stat().st_size
    with agent_beside(hq, url, token, ollama):
        pushing.join()
    return here


@contextmanager
def agent_beside(hq: Hq, url: str, token: str, ollama: str) -> Iterator[Watched]:
    """The packed program, with an environment of its own."""
    from agency.machines.programs import AGENT, pack

    port, packed = free_port(), hq.folder / "retune-agent.pyz"
    pack(packed, AGENT)
    env = {"RETUNE_URL": url, "RETUNE_TOKEN": token, "RETUNE_OLLAMA_URL": ollama, "RETUNE_PAUSE_S": "1"}
    env |= {"RETUNE_LISTEN": f"127.0.0.1:{port}", "RETUNE_WORK_DIR": str(hq.folder / "agent")}
    with processes.process([sys.executable, str(packed)], port, **env) as child:
        time.sleep(3.0)  # It has said hello, and waits.
        yield Watched(child.pid)


def pushed(asked: list[str]) -> list[Any]:
    done = subprocess.run([sys.executable, "-c", PUSH, *asked], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return list(json.loads(done.stdout))


if __name__ == "__main__":
    main()
