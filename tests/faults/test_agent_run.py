"""Two versions go the whole way to a host behind NAT: real workers, the packed agent, real traffic at its gateway.

Only training and measuring are quick ones. What is pushed, dealt, metered, judged and taken back passes the agent.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
from django.utils.timezone import now

from agency.demo.pace import SHORT
from agency.demo.proxy import FaultProxy
from agency.demo.traffic import Traffic
from pipelines.models import Exchange, Job, Placement, Rollback, RunEvent
from pipelines.models import Traffic as Minutes
from tenants.machines import agents
from tenants.models import Host, HostAgent, HostCall
from tests import factories
from tests.engines.processes import embedded, until
from tests.engines.story import OVERRIDES, Story
from tests.faults.cutting_proxy import CuttingProxy
from tests.faults.test_agent import Process, agent_process
from tests.faults.test_machines import serving
from tests.servers import free_port
from tests.unit.ollama_host.host_process import running_host

pytestmark = pytest.mark.sqlite_only("starts workers and headquarters on the tests' SQLite file")
SETTINGS = {
    "rollout": SHORT.settings["rollout"],
    "monitor": {"duration_s": 20, "safe_evidence": 3.0},
    "criteria": {"context_tokens": 256},
}
STEPS = ("canary at 5 %", "canary at 25 %")
PROMPTS = [[{"role": "user", "content": f"order {number}"}] for number in range(50)]


class Behind(Story):
    """A pipeline whose only host is an agent's."""

    overrides = factories.merged(OVERRIDES, SETTINGS)

    def __init__(self, var: Path) -> None:
        super().__init__(var)
        with factories.inside(self.pipeline):
            Host.objects.all().delete()
            client = self.pipeline.client
            self.host, self.token = agents.add_agent_host(client, "shop", actor="tests", now=now())
            self.key = factories.make_key(client, "gateway")


@dataclass
class Laid:
    story: Behind
    agent: Process
    ollama: FaultProxy
    line: CuttingProxy

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.agent.port}"

    def traffic(self) -> Traffic:
        return Traffic(self.address, self.story.key, self.story.pipeline.slug, PROMPTS, per_s=30.0)

    def version(self) -> str:
        body = {"model": self.story.pipeline.slug, "messages": PROMPTS[0], "stream": False}
        headers = {"Authorization": f"Bearer {self.story.key}"}
        body |= {"options": {"num_predict": 4, "temperature": 0}}
        answer = httpx2.post(f"{self.address}/api/chat", json=body, headers=headers, timeout=30)
        return str(answer.headers.get("x-retune-version", answer.status_code))


@pytest.fixture
def laid(transactional_db: None, tmp_path: Path) -> Iterator[Laid]:
    with embedded(tmp_path, RETUNE_TEST_HOSTS="behind its agent", RETUNE_LOG_LEVEL="WARNING") as workers:
        with serving(workers, tmp_path) as port, running_host(tmp_path / "store", "B") as url:
            ollama = FaultProxy(url, free_port())
            ollama.start()
            with CuttingProxy(port, cut=0.0, most_bytes=1, seed=1).listening() as line:
                story = Behind(tmp_path)
                agent = agent_process(tmp_path, line.port, story.token, f"http://127.0.0.1:{ollama.port}")
                agent.start()
                try:
                    yield Laid(story, agent, ollama, line)
                finally:
                    agent.kill()


def test_the_whole_way_of_two_versions_behind_nat(laid: Laid) -> None:
    story = laid.story
    with factories.inside(story.pipeline):
        until("the agent was heard of", HostAgent.objects.exclude(last_seen_at=None).exists, 60, laid.agent.log)
        first = story.start(0)
        story.until(first, "held", timeout_s=120)
        story.approve(first)
        story.until(first, "succeeded", timeout_s=180)
        until("the agent's gateway serves v1", lambda: laid.version() == "v1", 20, laid.agent.log)

        laid.line.refused = b"/agent/uploads/"
        second = story.start(1000)
        killed_in_the_push(laid)
        with laid.traffic() as traffic:
            story.until(second, "waiting", "monitor", timeout_s=240)
            until("the agent's gateway serves v2", lambda: laid.version() == "v2", 20, laid.agent.log)
            seen = RunEvent.objects.filter(run=second, stage="deploy").values_list("reason", flat=True)
            assert [word for word in STEPS if word in seen] == list(STEPS), list(seen)
            laid.ollama.faults[f"{story.pipeline.slug}:v2"] = "failing"
            story.until(second, "rolled_back", timeout_s=120)
            back = Rollback.objects.get()
            until("the agent's gateway serves v1 again", lambda: laid.version() == "v1", 10, laid.agent.log)
            took_s = (now() - back.decided_at).total_seconds()
        print(f"arms {dict(traffic.arms)}; v1 answered {took_s:.1f} s after the decision")
        assert (back.phase, back.to_version.number) == ("monitor", 1)
        lands_once(laid, traffic)


def killed_in_the_push(laid: Laid) -> None:
    """kill -9 while it has claimed the upload; the call stays its own, and is answered by the one started after it."""

    def is_claimed() -> bool:
        return HostCall.objects.filter(claimed_at__isnull=False).exclude(digest="").exists()

    until("the agent has the upload in hand", is_claimed, 120, laid.agent.log)
    call = HostCall.objects.exclude(digest="").get()
    laid.agent.kill()
    assert laid.line.refused
    laid.line.refused = b""
    laid.agent.start()
    until("the call is answered", lambda: not HostCall.objects.filter(pk=call.pk).exists(), 50, laid.agent.log)
    until("v2 is on the host", lambda: Placement.objects.filter(version__number=2).exists(), 60, laid.agent.log)
    assert Job.objects.get(kind__startswith="push", run__number=2).attempts == 1


def lands_once(laid: Laid, traffic: Traffic) -> None:
    """Every answer that the agent's gateway gave is in headquarters' meter, once; on the host each version once."""
    asked = sum(traffic.arms.values())

    until("its records are here", lambda: Exchange.objects.count() >= asked, 60, laid.agent.log)
    assert set(Exchange.objects.values_list("host", flat=True)) == {"shop"}
    assert sum(Minutes.objects.values_list("requests", flat=True)) == Exchange.objects.count()
    assert set(Placement.objects.values_list("version__number", "status")) == {(1, "placed"), (2, "placed")}
