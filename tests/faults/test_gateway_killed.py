"""A gateway is killed under load while routes flip: only what it held is lost, and nothing is asked twice."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from django.db import connection

from bench.gateway import seen_by
from bench.gateway_peers import load, processes
from bench.gateway_peers.load import Spot
from pipelines.shipping.route import flip
from tests import factories

FLIPS = 100
CALLERS = 6  # At each gateway.


class Asked:
    """Callers of two gateways; each question is asked once. Those of the dead one go on at the other."""

    def __init__(self, spots: list[Spot]) -> None:
        self.spots = spots
        self.answers: dict[str, int] = {}
        self.is_over = threading.Event()

    async def caller(self, number: int) -> None:
        connection, count = load.Connection(self.spots[number % 2]), 0
        while not self.is_over.is_set():
            question, count = f"{number}-{count}", count + 1
            raw = load.request(connection.spot, text=f"question-{question}", stream=bool(count % 2))
            self.answers[question] = status = await connection.ask(raw)
            if status == 0:
                connection = load.Connection(self.spots[1])
            await asyncio.sleep(0.005)
        connection.close()

    def run(self) -> None:
        async def every() -> None:
            await asyncio.gather(*(self.caller(number) for number in range(2 * CALLERS)))

        asyncio.run(every())


@pytest.mark.sqlite_only("starts gateways of its own on the tests' SQLite file")
def test_only_what_the_dead_gateway_held_is_lost_and_nothing_is_asked_twice(
    transactional_db: None, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        upstream = stack.enter_context(processes.upstream())
        client = factories.make_client(slug="acorn")
        factories.make_host(client, "shop", f"http://127.0.0.1:{upstream}")
        pipeline = factories.make_pipeline(client)
        versions = [factories.make_production(pipeline).model_version for _ in range(2)]
        with factories.inside(client):
            flip(versions[0], factories.NOW)
        more = {"RETUNE_VAR": str(tmp_path), "DATABASE_URL": f"sqlite://{connection.settings_dict['NAME']}"}
        gateways = [stack.enter_context(processes.gateway(RETUNE_GATEWAY_NAME=name, **more)) for name in ("a", "b")]
        key = factories.make_key(client, "gateway")
        spots = [Spot(port, key=key) for port, _pid in gateways]
        for spot in spots:
            load.until_ready(spot)
        asked = Asked(spots)
        thread = threading.Thread(target=asked.run)
        thread.start()
        for number in range(FLIPS):
            with factories.inside(client):
                flip(versions[number % 2], factories.NOW)
            if number == FLIPS // 2:
                os.kill(gateways[0][1], signal.SIGKILL)
            time.sleep(0.01)
        asked.is_over.set()
        thread.join()
        heard = seen_by(upstream)

    lost = [question for question, status in asked.answers.items() if status != 200]
    assert len(asked.answers) > 4 * CALLERS
    assert all(int(question.partition("-")[0]) % 2 == 0 for question in lost) and len(lost) <= CALLERS
    assert {status for status in asked.answers.values()} <= {0, 200}
    assert max(heard.values()) == 1
    answered = {question for question, status in asked.answers.items() if status == 200}
    assert answered <= heard.keys()
