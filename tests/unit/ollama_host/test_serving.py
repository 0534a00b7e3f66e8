"""The embedded host as a process: models in children of their own, turns, eviction, disconnects, clean ends."""

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest

from bench import fidelity
from tests.unit.ollama_host.host_process import running_host
from tests.unit.ollama_host.tiny_gguf import write_model

LONG = {"temperature": 1, "seed": 1, "num_predict": 200, "num_ctx": 256}
CHAT = [{"role": "user", "content": "hello"}]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("serving")
    with running_host(folder / "store") as url:
        for number in range(4):
            push(url, f"m{number}", write_model(folder / f"{number}.gguf", seed=number))
        yield url


def post(url: str, path: str, **body: Any) -> httpx2.Response:
    return httpx2.post(url + path, json=body, timeout=60, trust_env=False)


def push(url: str, name: str, path: Path) -> None:
    data = path.read_bytes()
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    assert httpx2.post(f"{url}/api/blobs/{digest}", content=data, trust_env=False).status_code in (200, 201)
    made = post(url, "/api/create", model=name, files={"m.gguf": digest}, stream=False).json()
    assert made == {"status": "success"}, made


def resident(url: str) -> list[str]:
    return [row["name"] for row in httpx2.get(f"{url}/api/ps", trust_env=False).json()["models"]]


def runners() -> list[int]:
    """Process ids of model processes that serve a blob of these tests."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and b"agency.ollama_host.runner" in _read(entry / "cmdline"):
            found += [int(entry.name)] if b"serving" in _read(entry / "cmdline") else []
    return found


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def eventually(holds: Callable[[], bool], seconds: float = 10.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if holds():
            return True
        time.sleep(0.02)
    return False


def test_a_stream_ends_with_done_and_its_metrics(url: str) -> None:
    lines = [json.loads(line) for line in post(url, "/api/chat", model="m0", messages=CHAT, options=LONG).iter_lines()]
    assert all(line["done"] is False for line in lines[:-1])
    assert lines[-1]["done"] is True and lines[-1]["done_reason"] == "length"
    assert lines[-1]["eval_count"] == 200
    assert "".join(line["message"]["content"] for line in lines)


def test_stop_words_end_an_answer_before_they_show(url: str) -> None:
    options = {**LONG, "num_predict": 40}
    whole = post(url, "/api/generate", model="m0", prompt="x", stream=False, options=options).json()["response"]
    stop = whole[5:8]
    cut = post(url, "/api/generate", model="m0", prompt="x", stream=False, options={**options, "stop": [stop]}).json()
    assert cut["response"] == whole[: whole.find(stop)]
    assert cut["done_reason"] == "stop"


def test_a_schema_shapes_the_answer(url: str) -> None:
    schema = {"type": "object", "properties": {"n": {"enum": ["yes", "no"]}}, "required": ["n"]}
    options = {"temperature": 0, "num_predict": 60}
    body = post(url, "/api/chat", model="m1", messages=CHAT, stream=False, format=schema, options=options).json()
    assert json.loads(body["message"]["content"])["n"] in ("yes", "no")


def test_requests_to_one_model_wait_in_line_and_none_is_refused(url: str) -> None:
    def one(_: int) -> tuple[int, str]:
        answer = post(url, "/api/chat", model="m0", messages=CHAT, stream=False, options={**LONG, "temperature": 0})
        return answer.status_code, answer.json()["message"]["content"]

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(one, range(6)))
    assert {status for status, _ in answers} == {200}
    assert len({text for _, text in answers}) == 1


def test_a_fourth_model_evicts_one_but_not_the_one_kept_for_ever(url: str) -> None:
    post(url, "/api/generate", model="m0", keep_alive=-1)
    for name in ("m1", "m2", "m3"):
        post(url, "/api/generate", model=name)
    names = resident(url)
    assert len(names) == 3
    assert "m0:latest" in names and "m3:latest" in names


def test_keep_alive_ends_a_model_when_its_time_is_over(url: str) -> None:
    post(url, "/api/generate", model="m3", keep_alive="200ms")
    assert eventually(lambda: "m3:latest" not in resident(url))


def test_a_model_process_that_died_is_loaded_anew_by_the_next_request(url: str) -> None:
    post(url, "/api/generate", model="m2", keep_alive=0)
    assert eventually(lambda: "m2:latest" not in resident(url))
    before = set(runners())
    post(url, "/api/generate", model="m2")
    (mine,) = set(runners()) - before
    os.kill(mine, signal.SIGKILL)
    assert eventually(lambda: "m2:latest" not in resident(url))
    assert post(url, "/api/chat", model="m2", messages=CHAT, stream=False, options=LONG).status_code == 200
    assert mine not in runners()


def test_a_client_that_leaves_ends_its_answer(url: str) -> None:
    port = int(url.rpartition(":")[2])
    body = json.dumps({"model": "m0", "prompt": "x", "options": {**LONG, "num_predict": 200}}).encode()
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", port)) as client:
            head = f"POST /api/generate HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
            client.sendall(head.encode() + body)
            client.recv(64)
    answer = post(url, "/api/chat", model="m0", messages=CHAT, stream=False, options={**LONG, "num_predict": 4})
    assert answer.status_code == 200
    assert answer.json()["eval_count"] == 4


def test_a_broken_upload_leaves_nothing_behind(url: str, tmp_path: Path) -> None:
    data = os.urandom(300_000)
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as client:
        head = f"POST /api/blobs/{digest} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(data)}\r\n\r\n"
        client.sendall(head.encode() + data[:100_000])
    assert httpx2.head(f"{url}/api/blobs/{digest}", trust_env=False).status_code == 404


def test_a_model_process_sees_no_secret(url: str) -> None:
    post(url, "/api/generate", model="m0")
    seen = b"\0".join(_read(Path(f"/proc/{pid}/environ")) for pid in runners())
    assert b"PYTHONPATH" in seen
    assert b"SECRET" not in seen and b"DATABASE" not in seen


def test_a_model_process_has_limits(url: str) -> None:
    post(url, "/api/generate", model="m0")
    limits = _read(Path(f"/proc/{runners()[0]}/limits")).decode()
    assert "unlimited" not in next(line for line in limits.splitlines() if line.startswith("Max address space"))
    assert "unlimited" not in next(line for line in limits.splitlines() if line.startswith("Max file size"))


def test_generation_c_refuses_adapters_and_quantising_before_anything_else(tmp_path: Path) -> None:
    digest = "sha256:" + "0" * 64
    with running_host(tmp_path / "store", "C") as url:
        adapters = post(url, "/api/create", model="x", adapters={"a.gguf": digest})
        quantise = post(url, "/api/create", model="x", files={"m.gguf": digest}, quantize="q4_K_M")
    assert (adapters.status_code, quantise.status_code) == (400, 400)
    assert "LoRA adapters are no longer supported" in adapters.json()["error"]


@pytest.mark.parametrize(
    ("method", "path", "status", "text"),
    [
        ("GET", "/nope", 404, "404 page not found"),
        ("POST", "/api/version", 405, "405 method not allowed"),
        ("GET", "/api/blobs/sha256:" + "0" * 64, 405, "405 method not allowed"),
        ("POST", "/api/pull", 404, "404 page not found"),
        ("POST", "/api/create", 400, '{"error":"missing request body"}'),
        ("GET", "/", 200, "Ollama is running"),
    ],
)
def test_routes_answer_as_hosts_do(url: str, method: str, path: str, status: int, text: str) -> None:
    answer = httpx2.request(method, url + path, trust_env=False)
    assert (answer.status_code, answer.text) == (status, text)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://example.com"}, 403),
        ({"Host": "example.com"}, 403),
        ({"Origin": "http://localhost:3000"}, 200),
        ({"Host": "my.internal"}, 200),
    ],
)
def test_foreign_origins_and_hosts_are_turned_away(url: str, headers: dict[str, str], status: int) -> None:
    assert httpx2.get(f"{url}/api/tags", headers=headers, trust_env=False).status_code == status


def test_a_host_that_listens_on_a_network_is_called_by_any_name(tmp_path: Path) -> None:
    with running_host(tmp_path / "store", "B", "--bind", "0.0.0.0") as url:
        asked = f"{url.replace('0.0.0.0', '127.0.0.1')}/api/tags"
        assert httpx2.get(asked, headers={"Host": "ollama:11434"}, trust_env=False).status_code == 200
        assert httpx2.get(asked, headers={"Origin": "https://example.com"}, trust_env=False).status_code == 403


def test_openai_streams_end_with_a_finish_chunk_and_done(url: str) -> None:
    answer = post(url, "/v1/chat/completions", model="m0", messages=CHAT, max_tokens=5, temperature=0, stream=True)
    events = [line.removeprefix("data: ") for line in answer.text.split("\n") if line]
    assert events[-1] == "[DONE]"
    assert json.loads(events[0])["choices"][0]["delta"]["role"] == "assistant"
    assert json.loads(events[-2])["choices"][0] == {"index": 0, "delta": {}, "finish_reason": "length"}


def test_slow_ms_delays_every_answer(tmp_path: Path) -> None:
    with running_host(tmp_path / "store", "B", "--slow-ms", "300") as slow:
        push(slow, "m", write_model(tmp_path / "m.gguf"))
        post(slow, "/api/generate", model="m")
        started = time.monotonic()
        post(slow, "/api/chat", model="m", messages=CHAT, stream=False, options={"num_predict": 1})
        assert time.monotonic() - started >= 0.3


def test_a_killed_host_takes_its_models_with_it(tmp_path: Path) -> None:
    folder = tmp_path / "serving-killed"
    command = [sys.executable, "-m", "agency.ollama_host", "--port", "0", "--store", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    url = process.stdout.readline().strip()
    push(url, "m", write_model(tmp_path / "m.gguf"))
    before = set(runners())
    post(url, "/api/generate", model="m", keep_alive=-1)
    mine = set(runners()) - before
    assert len(mine) == 1
    process.kill()
    process.wait()
    process.stdout.close()
    assert eventually(lambda: not mine & set(runners()))


def test_generation_a_ends_on_a_file_that_declares_more_than_any_memory_and_b_refuses_it(tmp_path: Path) -> None:
    good = write_model(tmp_path / "good.gguf").read_bytes()
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(b"FUGG" + good[4:])
    with running_host(tmp_path / "b", "B") as url, pytest.raises(AssertionError, match="exceeds maximum"):
        push(url, "bad", bad)
    command = [sys.executable, "-m", "agency.ollama_host", "--generation", "A", "--port", "0"]
    process = subprocess.Popen(
        [*command, "--store", str(tmp_path / "a")], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout and process.stderr
    with pytest.raises(httpx2.RemoteProtocolError):
        push(process.stdout.readline().strip(), "bad", bad)
    assert process.wait(10) == 2
    assert "panic" in process.stderr.read()


def test_a_full_disk_is_told_and_leaves_what_was_there(tmp_path: Path) -> None:
    one, two = (write_model(tmp_path / f"{n}.gguf", seed=n) for n in (1, 2))
    with running_host(tmp_path / "store", "C", "--disk-bytes", str(one.stat().st_size + 20_000)) as url:
        push(url, "one", one)
        refused = httpx2.post(f"{url}/api/blobs/sha256:{'2' * 64}", content=two.read_bytes(), trust_env=False)
        assert refused.status_code == 500
        assert refused.json()["error"].endswith("no space left on device")
        assert post(url, "/api/generate", model="one", prompt="x", options={"num_predict": 2}).status_code == 200


def test_more_loads_than_the_queue_holds_are_a_503(tmp_path: Path) -> None:
    with running_host(tmp_path / "store", "B", "--max-queue", "1") as url:
        push(url, "m", write_model(tmp_path / "m.gguf"))
        with ThreadPoolExecutor(8) as pool:
            asked = [pool.submit(post, url, "/api/generate", model="m") for _ in range(8)]
        statuses = [each.result().status_code for each in asked]
        assert set(statuses) == {200, 503}
        busy = next(each.result() for each in asked if each.result().status_code == 503)
        assert busy.json()["error"] == "server busy, please try again.  maximum pending requests exceeded"


@pytest.mark.parametrize("generation", ["A", "B"])
def test_the_embedded_host_answers_as_the_recorded_real_one(generation: str) -> None:
    folder = fidelity.recordings()
    if folder is None:
        pytest.skip(fidelity.ABSENT)
    share = fidelity.measured(folder, generation)[f"generation_{generation.lower()}"]
    assert isinstance(share, float) and share >= 0.95
