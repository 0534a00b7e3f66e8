"""Redis emptied and PostgreSQL restarted under real Celery workers: the database is the truth, so nothing is lost and
nothing lands twice; gateways go on serving."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import redis
from django.db import connection

from bench.gateway_peers import processes
from pipelines.models import Job, ModelVersion
from tenants.models import Host
from tests import factories, servers
from tests.engines.processes import production, until
from tests.engines.story import Story
from tests.faults.test_real_workers import effects
from tests.installation import Installation, as_default, install

# A minute by RETUNE_TEST_OUTAGE_S=60; several leases long anyway.
OUTAGE_S = float(os.environ.get("RETUNE_TEST_OUTAGE_S", "10"))
CHAT = {"model": "support", "stream": False, "messages": [{"role": "user", "content": "Where is my invoice?"}]}


class Flusher:
    """Empties Redis at every look at the story: messages, bindings, and whatever a worker holds there."""

    def __init__(self, url: str) -> None:
        self.redis, self.times = redis.Redis.from_url(url), 0

    def __call__(self) -> None:
        self.redis.flushall()
        self.times += 1


def test_redis_is_emptied_again_and_again_and_every_effect_lands_once(
    transactional_db: None, installation: Installation, redis_server: str, tmp_path: Path
) -> None:
    flush = Flusher(redis_server)
    with as_default(installation.app_url), production(tmp_path, installation, redis_server):
        try:
            story = Story(tmp_path, flush)
            with factories.inside(story.pipeline):
                run = story.start(0)
                story.until(run, "held", timeout_s=120)
                story.approve(run)
                story.until(run, "succeeded", timeout_s=120)
                assert effects(tmp_path) == {"train": 1, "build": 1, "push": 1}
                assert not Job.objects.exclude(attempts=1).exists()
                assert ModelVersion.objects.get(number=1).status == "production"
        finally:
            installation.empty()
    assert flush.times > 20


@pytest.fixture
def restartable() -> Iterator[servers.RestartablePostgres]:
    with servers.restartable_postgres() as server:
        yield server


def test_postgresql_is_away_for_a_while_and_work_and_answers_go_on(
    restartable: servers.RestartablePostgres, redis_server: str, tmp_path: Path, django_db_blocker: Any
) -> None:
    found = install(restartable.server)
    with django_db_blocker.unblock(), as_default(found.app_url), production(tmp_path, found, redis_server):
        plays(restartable, found, tmp_path)


def plays(restartable: servers.RestartablePostgres, found: Installation, var: Path) -> None:
    story = Story(var)
    with processes.upstream() as upstream, factories.inside(story.pipeline):
        Host.objects.filter(client_id=story.pipeline.client_id).update(url=f"http://127.0.0.1:{upstream}")
        first = story.start(0)
        story.until(first, "held", timeout_s=120)
        story.approve(first)
        story.until(first, "succeeded", timeout_s=120)
        key = factories.make_key(story.pipeline.client, "gateway")
        with processes.gateway(**found.environment, RETUNE_VAR=str(var / "gateway")) as (port, _pid):
            said = Callers(f"http://127.0.0.1:{port}/api/chat", key)
            until("the gateway answers", lambda: said.once() == 200)
            second = story.start(1000)
            said.begin()
            connection.close()
            restartable.stop()
            time.sleep(OUTAGE_S)
            restartable.start()
            connection.close()
            said.end()
            story.until(second, "rejected", timeout_s=180)
    assert Counter(said.heard) == {200: len(said.heard)} and len(said.heard) > OUTAGE_S, "no caller heard of it"
    done = effects(var)
    assert (done["train"], done["build"], done["push"]) == (2, 2, 1), "nothing was done twice for its want"


class Callers:
    """One caller after the other at a gateway, as long as it lasts."""

    def __init__(self, url: str, key: str) -> None:
        self.url, self.headers, self.heard = url, {"Authorization": f"Bearer {key}"}, []
        self.is_over, self.thread = threading.Event(), threading.Thread(target=self._go_on)

    def once(self) -> int:
        return httpx2.post(self.url, json=CHAT, headers=self.headers, timeout=20).status_code

    def _go_on(self) -> None:
        while not self.is_over.wait(0.1):
            self.heard.append(self.once())

    def begin(self) -> None:
        self.thread.start()

    def end(self) -> None:
        self.is_over.set()
        self.thread.join(30)
