"""The gateway before the embedded host and a real, tiny model: the same answers as the host's own, on both wires."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

import httpx2
import pytest

from pipelines.hosts import open_host
from pipelines.models import Exchange
from tenants.models import Host
from tests import factories
from tests.flow.gateway.conftest import Ground, Open
from tests.flow.gateway.double import wait_for
from tests.flow.gateway.test_passing import events_of
from tests.unit.ollama_host.host_process import running_host
from tests.unit.ollama_host.tiny_gguf import write_model

ASK = {"model": "support", "messages": [{"role": "user", "content": "hello"}]}
GREEDY = {"temperature": 0, "seed": 1, "num_predict": 8}


@pytest.fixture(scope="module", params=["A", "B"])
def host_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("host")
    model = write_model(folder / "v1.gguf", seed=1)
    with running_host(folder / "store", request.param) as url:
        host = open_host("ollama", url, allow_private=True)
        digest = f"sha256:{hashlib.sha256(model.read_bytes()).hexdigest()}"
        host.push_blob(model, digest)
        for number in (1, 2):
            host.create(f"deploy.invalid/acorn/support:v{number}", digest, {"num_ctx": 128})
        host.close()
        yield url


def test_answers_are_the_hosts_own_on_both_wires(host_url: str, ground: Ground, open_door: Open) -> None:
    with factories.inside(ground.client):
        Host.objects.filter(name="shop").update(url=host_url)
    door = open_door()
    direct = httpx2.post(
        host_url + "/api/chat", json=ASK | {"model": ground.name(1), "stream": False, "options": GREEDY}, timeout=30
    ).json()["message"]["content"]
    whole = door.post("/api/chat", ASK | {"stream": False, "options": GREEDY | {"num_ctx": 64}}).json()
    lines = [json.loads(line) for line in door.post("/api/chat", ASK | {"options": GREEDY}).text.splitlines()]
    openai = ASK | {"temperature": 0, "seed": 1, "max_tokens": 8}
    answer = door.post("/v1/chat/completions", openai).json()
    *events, end = events_of(door.post("/v1/chat/completions", openai | {"stream": True}))
    deltas = [json.loads(event)["choices"][0]["delta"] for event in events]
    assert direct and whole["message"]["content"] == direct
    assert "".join(line["message"]["content"] for line in lines) == direct
    assert answer["choices"][0]["message"]["content"] == direct and answer["usage"]["completion_tokens"] == 8
    assert "".join(delta.get("content", "") for delta in deltas) == direct and end == "[DONE]"
    wait_for(lambda: len(exchanges(ground)) == 4)
    assert [(row.is_error, row.output_tokens) for row in exchanges(ground)] == [(False, 8)] * 4


def exchanges(ground: Ground) -> list[Exchange]:
    with factories.inside(ground.client):
        return list(Exchange.objects.order_by("pk"))
