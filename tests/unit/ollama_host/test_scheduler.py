"""The scheduler and its model processes, inside one event loop."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from agency.ollama_host.host import Host, Settings
from agency.ollama_host.inference import ask_line, chat_call, want
from agency.ollama_host.scheduler import Runner, Want
from agency.ollama_host.store import names
from agency.ollama_host.store.disk import Layer
from agency.ollama_host.wire import Refused
from tests.unit.ollama_host.tiny_gguf import write_model

CONFIG = b'{"model_format":"gguf","model_family":"llama","model_families":[],"model_type":"","file_type":""}'


@asynccontextmanager
async def host_with_models(folder: Path, count: int = 1) -> AsyncIterator[Host]:
    """A host that holds m0, m1, ..., without HTTP."""
    host = Host(Settings(folder / "store"))
    for number in range(count):
        digest = host.store.adopt(write_model(folder / f"{number}.gguf", seed=number))
        name = names.parse(f"m{number}")
        assert name
        layer = Layer("model", digest, host.store.blob_path(digest).stat().st_size)
        host.store.write(name, host.store.add_bytes(CONFIG, "config"), (layer,))
    try:
        yield host
    finally:
        await host.scheduler.close()


def wanted(host: Host, name: str = "m0", **options: Any) -> Want:
    return want(chat_call(host, {"model": name, "messages": [], "options": options}))


def question(host: Host, num_predict: int = 200) -> dict[str, Any]:
    options = {"temperature": 0, "num_predict": num_predict}
    body = {"model": "m0", "messages": [{"role": "user", "content": "x"}], "options": options}
    return ask_line(chat_call(host, body), "answer")


async def answer(runner: Runner, asked: dict[str, Any]) -> list[dict[str, Any]]:
    return [line async for line in runner.ask(asked)]


def test_a_model_process_that_dies_in_the_middle_of_an_answer_is_a_500(tmp_path: Path) -> None:
    async def story() -> Refused:
        async with host_with_models(tmp_path) as host, host.scheduler.lease(wanted(host), None) as runner:
            os.kill(runner.process.pid, signal.SIGSTOP)
            asked = asyncio.ensure_future(answer(runner, question(host)))
            while not runner.asked:
                await asyncio.sleep(0)
            os.kill(runner.process.pid, signal.SIGKILL)
            with pytest.raises(Refused) as caught:
                await asked
            return caught.value

    refused = asyncio.run(story())
    assert refused.status == 500
    assert refused.text == "llama runner process has terminated: signal: Killed"


def test_an_answer_that_is_given_up_does_not_leak_into_the_next(tmp_path: Path) -> None:
    async def story() -> list[dict[str, Any]]:
        async with host_with_models(tmp_path) as host, host.scheduler.lease(wanted(host), None) as runner:
            lines = runner.ask(question(host))
            await anext(lines)
            await lines.aclose()
            return await answer(runner, question(host, num_predict=3))

    lines = asyncio.run(story())
    assert {line["id"] for line in lines} == {2}
    assert lines[-1]["done"]["eval_count"] == 3


def test_another_context_size_loads_the_model_anew_and_the_same_one_does_not(tmp_path: Path) -> None:
    async def story() -> list[int]:
        pids = []
        async with host_with_models(tmp_path) as host:
            for num_ctx in (64, 64, 128, 9999, 256):
                async with host.scheduler.lease(wanted(host, num_ctx=num_ctx), None) as runner:
                    pids.append(runner.process.pid)
        return pids

    first, again, other, clamped, trained = asyncio.run(story())
    assert first == again != other
    assert clamped == trained, "a context above what the model was trained for is the trained one"


def test_a_model_in_use_is_never_evicted_under_its_request(tmp_path: Path) -> None:
    async def story() -> tuple[bool, set[str]]:
        async with host_with_models(tmp_path, 4) as host:
            async with host.scheduler.lease(wanted(host, "m0"), None) as busy:
                for name in ("m1", "m2", "m3"):
                    async with host.scheduler.lease(wanted(host, name), None):
                        pass
                return busy.is_alive, {runner.want.manifest.name.model for runner in host.scheduler.resident()}

    is_alive, left = asyncio.run(story())
    assert is_alive
    assert "m0" in left and len(left) == 3


def test_a_file_that_will_not_load_is_a_500_and_takes_no_place(tmp_path: Path) -> None:
    async def story() -> tuple[Refused, int]:
        async with host_with_models(tmp_path) as host:
            load = wanted(host)
            load.blob.write_bytes(load.blob.read_bytes()[:3000])
            with pytest.raises(Refused) as caught:
                async with host.scheduler.lease(load, None):
                    raise AssertionError("it loaded")
            return caught.value, len(host.scheduler.resident())

    refused, loaded = asyncio.run(story())
    assert (refused.status, loaded) == (500, 0)
    assert "unable to load model" in refused.text
