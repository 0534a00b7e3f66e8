"""The OpenAI format without a wire: what becomes of a request, what becomes of an answer."""

import json
from typing import Any

import pytest

from agency.gateway.openai.replies import Translator
from agency.gateway.openai.requests import openai_ask
from agency.gateway.wire import Path, Refused

SAID = [{"role": "user", "content": "Where?"}]


def ask(**fields: Any) -> Any:
    return openai_ask(Path.V1_CHAT, {"model": "support", "messages": SAID} | fields, "")


def translator(**fields: Any) -> Translator:
    return Translator(ask(**fields), "id", 1)


def test_parts_of_a_message_become_text_and_images() -> None:
    parts = [
        {"type": "text", "text": "What"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}},
    ]
    assert ask(messages=[{"role": "user", "content": parts}]).document["messages"] == [
        {"role": "user", "content": "What", "images": ["aGk="]}
    ]


@pytest.mark.parametrize(
    "message",
    [
        "not an object",
        {"content": "no role"},
        {"role": "user", "content": 7},
        {"role": "user", "content": [{"type": "audio"}]},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://10.0.0.1/secret.png"}}]},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,?"}}]},
        {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{"}}]},
        {"role": "assistant", "tool_calls": ["f"]},
        {"role": "assistant", "tool_calls": 5},
        {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "[" * 300 + "]" * 300}}]},
    ],
)
def test_messages_that_have_no_counterpart_are_refused(message: Any) -> None:
    with pytest.raises(Refused) as refused:
        ask(messages=[message])
    assert refused.value.status == 400


def test_tool_calls_travel_as_objects_upstream_and_as_text_back() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "find", "arguments": '{"id": 7}'}}
    sent = ask(
        messages=[*SAID, {"role": "assistant", "content": None, "tool_calls": [call]}], tools=[{"type": "function"}]
    )
    assert sent.document["messages"][1]["tool_calls"][0]["function"] == {"name": "find", "arguments": {"id": 7}}
    answer = {
        "message": {"content": "", "tool_calls": [{"function": {"name": "find", "arguments": {"id": 7}}}]},
        "done": True,
    }
    choice = translator().whole(answer)["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["tool_calls"][0]["function"] == {"name": "find", "arguments": '{"id":7}'}


def test_a_schema_becomes_the_hosts_format() -> None:
    schema = {"type": "object"}
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    assert ask(response_format=wanted).document["format"] == schema
    assert "format" not in ask(response_format={"type": "text"}).document


def test_the_newer_name_of_the_limit_counts_and_defaults_override_baked_values() -> None:
    assert ask(max_completion_tokens=3).document["options"] == {"temperature": 1.0, "top_p": 1.0, "num_predict": 3}
    assert ask(temperature=0).document["options"]["temperature"] == 0


@pytest.mark.parametrize("prompt", [None, 7, ["a", "b"], []])
def test_a_completion_needs_one_text(prompt: Any) -> None:
    with pytest.raises(Refused):
        openai_ask(Path.V1_COMPLETIONS, {"model": "support", "prompt": prompt}, "")


def test_a_length_stop_is_told() -> None:
    assert (
        translator().whole({"message": {"content": "a"}, "done": True, "done_reason": "length"})["choices"][0][
            "finish_reason"
        ]
        == "length"
    )


def test_an_empty_answer_still_opens_with_the_role() -> None:
    events = b"".join(translator().events({"message": {"content": ""}, "done": True, "done_reason": "stop"})).decode()
    first, finish, end = [event.removeprefix("data: ") for event in events.strip().split("\n\n")]
    assert json.loads(first)["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert json.loads(finish)["choices"][0]["finish_reason"] == "stop" and end == "[DONE]"


def test_the_same_conversation_has_the_same_key_on_both_wires() -> None:
    from agency.gateway.asks import native_ask

    native = native_ask(Path.CHAT, {"model": "support", "messages": SAID}, "")
    assert native.key == ask().key
    assert native_ask(Path.CHAT, {"model": "support", "messages": SAID}, "conversation").key != native.key
    assert ask(user="mia").key == ask(user="mia", messages=[{"role": "user", "content": "Other"}]).key
