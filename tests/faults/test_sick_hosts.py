"""Hosts that stall, answer garbage or 503 under real traffic in the middle of a canary: no caller loses an answer that
production can give, the candidate is taken back, and what is production's own sickness halts instead."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest
from django.utils.timezone import now

from agency.gateway.app import Gateway, beside, nothing_else
from agency.gateway.limits import Limits
from pipelines import actions
from pipelines.hosts.naming import model_name
from pipelines.models import Check, Exchange, Rollback, Route, Run
from tenants.actions import change_settings
from tenants.models import Host, Pipeline
from tests import factories
from tests.flow.conftest import add_rows, pipeline, quick_jobs
from tests.flow.gateway.double import Double, asgi_server, wait_for
from tests.flow.test_line import later, promoted, start

__all__ = ["add_rows", "pipeline", "quick_jobs"]

CALLERS = 60
SHARE = 0.5
PATIENCE_S = 0.5
AT_ONCE = 12


@pytest.fixture
def double() -> Iterator[Double]:
    with Double().serving() as double:
        yield double


@pytest.fixture
def canary(pipeline: Pipeline, add_rows: Callable[..., None], double: Double) -> Run:
    """v2 beside v1 with half of the callers, on a host that can fall sick."""
    Host.objects.filter(client_id=pipeline.client_id).update(url=double.url)
    body = pipeline.settings.model_dump(mode="json")
    steps = [{"share": SHARE, "min_duration_s": 0}]
    output = body["criteria"] | {"output": {"kind": "text"}}
    change_settings(pipeline, body | {"rollout": body["rollout"] | {"steps": steps}, "criteria": output}, "t", now())
    pipeline.refresh_from_db()
    add_rows(0, 30)
    promoted(pipeline)
    add_rows(1000, 30)
    run = start(pipeline)
    assert (run.status, run.reason) == ("waiting", "canary at 50 %")
    return run


class Callers:
    """One gateway, and callers with a conversation each."""

    def __init__(self, url: str, key: str) -> None:
        self.url, self.key, self.rounds = url, key, 0

    def ask(self) -> list[tuple[int, str]]:
        """(status, version) of each caller's answer. Each time they are others: the first outcome of one counts."""
        self.rounds += 1

        async def one(http: httpx2.AsyncClient, turn: asyncio.Semaphore, number: int) -> tuple[int, str]:
            asked = [{"role": "user", "content": f"question {number}"}]
            said = {"model": "support", "stream": False, "messages": asked}
            headers = {
                "Authorization": f"Bearer {self.key}",
                "X-Conversation-Id": f"conversation-{self.rounds}-{number}",
            }
            async with turn:
                answer = await http.post(f"{self.url}/api/chat", json=said, headers=headers)
            return answer.status_code, answer.headers.get("x-retune-version", "")

        async def every() -> list[tuple[int, str]]:
            turn = asyncio.Semaphore(AT_ONCE)
            async with httpx2.AsyncClient(timeout=60) as http:
                return await asyncio.gather(*(one(http, turn, number) for number in range(CALLERS)))

        return asyncio.run(every())


@pytest.fixture
def callers(canary: Run, pipeline: Pipeline, tmp_path: Path) -> Iterator[Callers]:
    gateway = Gateway("sick", tmp_path, Limits(read_s=PATIENCE_S, total_s=10.0, host_concurrency=AT_ONCE))
    with asgi_server(beside(gateway, nothing_else)) as url:
        found = Callers(url, factories.make_key(pipeline.client, "gateway"))
        wait_for(lambda: gateway.status()["serial"] == Route.objects.get(pipeline=pipeline).serial)
        yield found


def name(pipeline: Pipeline, number: int) -> str:
    return model_name(pipeline.client.slug, pipeline.slug, number)


def judged(run: Run) -> Run:
    """After the looks of the next minute, with every record in its row."""
    row = Run.objects.get(pk=run.pk)
    for seconds in (30, 60, 90, 120):
        if row.status != "waiting":
            return row
        row = later(row, seconds)
    return row


def written(rounds: int) -> None:
    """The meter writes within a second. Production's answers in the candidate's place count for nobody's arm."""
    wait_for(lambda: Exchange.objects.filter(rollout__isnull=False).count() >= rounds * CALLERS)


@pytest.mark.parametrize("sickness", ["stalls", "garbage", "503", "dies"])
def test_a_candidate_on_a_sick_host_costs_no_answer_and_is_taken_back(
    canary: Run, callers: Callers, pipeline: Pipeline, double: Double, sickness: str
) -> None:
    assert {version for _status, version in callers.ask()} == {"v1", "v2"}, "both arms have callers"
    double.behaviour[name(pipeline, 2)] = sickness

    answers = callers.ask()
    assert Counter(answers) == {(200, "v1"): CALLERS}, "production answered for the candidate, nobody waited in vain"
    written(2)
    run = judged(canary)

    assert (run.status, run.verdict) == ("rolled_back", "rolled_back"), run.reason
    made = Rollback.objects.get(pipeline=pipeline)
    assert (made.phase, made.metric in ("transport", "error")) == ("canary", True)
    assert made.from_version.label == "v2" and made.to_version.label == "v1"
    assert Route.objects.get(pipeline=pipeline).candidate is None
    assert Counter(callers.ask()) == {(200, "v1"): CALLERS}


@pytest.mark.parametrize("sickness", ["stalls", "dies"])
def test_a_host_that_is_sick_for_both_halts_and_rolls_nothing_back(
    canary: Run, callers: Callers, pipeline: Pipeline, double: Double, sickness: str
) -> None:
    double.behaviour |= {name(pipeline, 1): sickness, name(pipeline, 2): sickness}

    assert {status for status, _version in callers.ask()} <= {502, 504}, "each caller hears so, in its own format"
    wait_for(lambda: Exchange.objects.filter(is_transport_error=True).count() >= CALLERS)
    run = judged(canary)

    assert run.status == "held" and "production fails" in run.reason
    assert not Rollback.objects.exists()
    assert Route.objects.get(pipeline=pipeline).production.label == "v1"
    assert Check.objects.filter(rollout__run=run, decision="halt").exists()
    double.behaviour.clear()
    assert {status for status, _version in callers.ask()} == {200}, "well again, it serves both arms as before"
    actions.roll_back(pipeline, to=None, actor="owner", reason="not today", now=now())
    assert Route.objects.get(pipeline=pipeline).candidate is None
