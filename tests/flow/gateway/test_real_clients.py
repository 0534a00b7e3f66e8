"""Programs that speak to Ollama or OpenAI are pointed at the gateway by address and key, and work as before."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator

import ollama
import openai
import pytest
from langchain_core.messages import HumanMessage
from langchain_ollama import ChatOllama

from tests.flow.gateway.conftest import Door, Ground, Open
from tests.flow.gateway.double import wait_for

ASKED = [{"role": "user", "content": "Where is my invoice?"}]


@pytest.fixture
def ollama_client(door: Door) -> ollama.Client:
    return ollama.Client(door.url, headers=door.headers())


@pytest.fixture
def openai_client(door: Door) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=door.url + "/v1", api_key=door.key, max_retries=0) as client:
        yield client


@pytest.fixture
def chat_model(door: Door) -> ChatOllama:
    return ChatOllama(
        model="support",
        base_url=door.url,
        client_kwargs={"headers": door.headers()},
        temperature=0,
        num_ctx=4096,
        keep_alive="1h",
    )


def test_the_ollama_package_chats_streams_generates_and_lists(ollama_client: ollama.Client, ground: Ground) -> None:
    whole = ollama_client.chat("support", ASKED, options={"num_ctx": 64, "temperature": 0}, keep_alive=5)
    parts = list(ollama_client.chat("support", ASKED, stream=True))
    generated = ollama_client.generate("support", "Where?")
    assert whole.message.content == "billing" and whole.eval_count == 2
    assert [part.message.content for part in parts] == ["bill", "ing", ""] and parts[-1].done
    assert generated.response == "billing"
    assert [model.model for model in ollama_client.list().models] == ["support:latest"]
    assert ground.double.asked[0]["options"] == {"temperature": 0} and "keep_alive" not in ground.double.asked[0]


def test_the_ollama_package_hears_errors_at_once_and_in_mid_stream(
    ollama_client: ollama.Client, ground: Ground
) -> None:
    with pytest.raises(ollama.ResponseError) as missing:
        ollama_client.chat("nobody", ASKED)
    ground.double.behaviour[ground.name(1)] = "midway"
    heard = []
    with pytest.raises(ollama.ResponseError, match="broke"):
        for part in ollama_client.chat("support", ASKED, stream=True):
            heard.append(part.message.content)
    assert missing.value.status_code == 404 and heard == ["bill", "ing"]


def test_the_ollama_package_cannot_manage_the_host(ollama_client: ollama.Client, ground: Ground) -> None:
    for act in (
        lambda: ollama_client.delete("support"),
        lambda: ollama_client.pull("support"),
        lambda: ollama_client.copy("support", "mine"),
        lambda: ollama_client.create("mine", from_="support"),
    ):
        with pytest.raises(ollama.ResponseError) as refused:
            act()
        assert refused.value.status_code == 404
    assert ground.double.asked == []


def test_the_openai_package_chats_streams_completes_and_lists(openai_client: openai.OpenAI) -> None:
    whole = openai_client.chat.completions.create(model="support", messages=ASKED, max_completion_tokens=8)
    stream = openai_client.chat.completions.create(
        model="support", messages=ASKED, stream=True, stream_options={"include_usage": True}
    )
    *chunks, usage = list(stream)
    completed = openai_client.completions.create(model="support", prompt="Where?")
    assert whole.choices[0].message.content == "billing" and whole.choices[0].finish_reason == "stop"
    assert whole.usage.total_tokens == 13
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "billing"
    assert chunks[-1].choices[0].finish_reason == "stop" and usage.usage.completion_tokens == 2
    assert completed.choices[0].text == "billing"
    assert [model.id for model in openai_client.models.list()] == ["support"]


def test_the_openai_package_raises_its_own_errors(openai_client: openai.OpenAI, door: Door, ground: Ground) -> None:
    with pytest.raises(openai.NotFoundError):
        openai_client.chat.completions.create(model="nobody", messages=ASKED)
    with pytest.raises(openai.AuthenticationError):
        openai_client.with_options(api_key="rk_wrong").models.list()
    with pytest.raises(openai.BadRequestError, match="too short"):
        openai_client.chat.completions.create(model="support", messages=[])
    ground.double.behaviour[ground.name(1)] = "midway"
    heard = []
    with pytest.raises(openai.APIError, match="broke"):
        for chunk in openai_client.chat.completions.create(model="support", messages=ASKED, stream=True):
            heard.append(chunk.choices[0].delta.content)
    assert heard == ["bill", "ing"]


def test_langchains_chat_model_answers_and_streams(chat_model: ChatOllama, ground: Ground) -> None:
    answer = chat_model.invoke([HumanMessage("Where is my invoice?")])
    streamed = [chunk.content for chunk in chat_model.stream("Where is my invoice?")]
    assert answer.content == "billing" and answer.usage_metadata["total_tokens"] == 13
    assert "".join(streamed) == "billing"
    assert all("num_ctx" not in asked["options"] and "keep_alive" not in asked for asked in ground.double.asked)


def test_langchains_chat_model_can_check_that_the_model_is_there(door: Door) -> None:
    ChatOllama(
        model="support", base_url=door.url, client_kwargs={"headers": door.headers()}, validate_model_on_init=True
    )


def test_curl_streams_lines_as_they_come(door: Door) -> None:
    asked = {"model": "support", "messages": ASKED}
    done = subprocess.run(
        ["curl", "-sN", door.url + "/api/chat", "-H", f"Authorization: Bearer {door.key}", "-d", json.dumps(asked)],
        capture_output=True,
        timeout=30,
        check=True,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert "".join(line["message"]["content"] for line in lines) == "billing" and lines[-1]["done"]


def test_a_slow_openai_caller_leaves_and_the_host_is_let_go(open_door: Open, ground: Ground) -> None:
    door = open_door()
    ground.double.behaviour[ground.name(1)] = "slow"
    with openai.OpenAI(base_url=door.url + "/v1", api_key=door.key, max_retries=0, timeout=0.3) as client:
        with pytest.raises(openai.APITimeoutError):
            client.chat.completions.create(model="support", messages=ASKED)
    wait_for(lambda: ground.double.cancelled == 1)
