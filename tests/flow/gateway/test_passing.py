"""What goes to the host and what comes back: untouched where it may be, translated where it must be."""

import json

import httpx2
import pytest

from tests.flow.gateway.conftest import CHAT, Door, Ground
from tests.flow.gateway.double import wait_for


def events_of(answer: httpx2.Response) -> list[str]:
    return [line.removeprefix("data: ") for line in answer.text.split("\n\n") if line]


def test_fields_that_would_reload_the_model_never_reach_the_host(door: Door, ground: Ground) -> None:
    options = {"num_ctx": 8, "num_gpu": 0, "num_batch": 1, "temperature": 0.5, "seed": 3}
    door.chat(keep_alive=0, shift=False, options=options, format="json", truncate=False)
    sent = ground.double.asked[-1]
    assert sent["options"] == {"temperature": 0.5, "seed": 3}
    assert not {"keep_alive", "shift"} & sent.keys()
    assert (sent["format"], sent["truncate"], sent["messages"]) == ("json", False, CHAT["messages"])


def test_the_callers_headers_stay_at_the_door(door: Door, ground: Ground) -> None:
    door.post("/api/chat", CHAT, Origin="https://evil.example", Cookie="a=b")
    seen = ground.double.headers[-1]
    assert not {"authorization", "origin", "cookie"} & seen.keys()
    assert seen["host"] == ground.double.url.removeprefix("http://")


def test_a_native_stream_passes_byte_by_byte_and_names_its_version(door: Door, ground: Ground) -> None:
    answer = door.chat(stream=True)
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert [line["message"]["content"] for line in lines] == ["bill", "ing", ""]
    assert lines[-1]["done"] and lines[-1]["eval_count"] == 2
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert (answer.headers["x-retune-version"], answer.headers["x-retune-arm"]) == ("v1", "production")
    assert len(answer.headers["x-retune-request-id"]) == 32


def test_generate_passes_as_well(door: Door) -> None:
    answer = door.post("/api/generate", {"model": "support", "prompt": "Where?", "stream": False})
    assert answer.json()["response"] == "billing"


def test_a_refusal_of_the_host_that_is_the_callers_fault_passes(door: Door, ground: Ground) -> None:
    ground.double.behaviour[ground.name(1)] = "400"
    assert (door.chat().status_code, door.chat().json()) == (400, {"error": "status 400"})


def test_openai_chat_is_translated_both_ways(door: Door, ground: Ground) -> None:
    document = CHAT | {"max_tokens": 7, "stop": "END", "response_format": {"type": "json_object"}}
    answer = door.post("/v1/chat/completions", document).json()
    sent = ground.double.asked[-1]
    assert sent["path"] == "/api/chat" and sent["format"] == "json"
    assert sent["options"] == {"temperature": 1.0, "top_p": 1.0, "num_predict": 7, "stop": ["END"]}
    assert answer["choices"] == [
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "billing"}}
    ]
    assert answer["usage"] == {"prompt_tokens": 11, "completion_tokens": 2, "total_tokens": 13}
    assert (answer["object"], answer["model"]) == ("chat.completion", "support")


def test_an_openai_stream_has_one_role_a_finish_usage_and_an_end(door: Door) -> None:
    document = CHAT | {"stream": True, "stream_options": {"include_usage": True}}
    *events, end = events_of(door.post("/v1/chat/completions", document))
    chunks = [json.loads(event) for event in events]
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    assert deltas == [{"role": "assistant", "content": "bill"}, {"content": "ing"}, {}]
    assert chunks[-2]["choices"][0]["finish_reason"] == "stop"
    assert chunks[-1]["usage"]["total_tokens"] == 13 and end == "[DONE]"


def test_openai_completions_finish_on_the_last_text(door: Door, ground: Ground) -> None:
    whole = door.post("/v1/completions", {"model": "support", "prompt": "Where?"}).json()
    assert (whole["object"], whole["choices"][0]["text"]) == ("text_completion", "billing")
    assert ground.double.asked[-1]["options"]["presence_penalty"] == 0.0
    stream = door.post("/v1/completions", {"model": "support", "prompt": ["Where?"], "stream": True})
    *events, end = events_of(stream)
    choices = [json.loads(event)["choices"][0] for event in events]
    assert [(c["text"], c["finish_reason"]) for c in choices] == [("bill", None), ("ing", None), ("", "stop")]
    assert end == "[DONE]"


def test_an_error_in_the_middle_of_a_stream_reaches_the_caller_in_its_format(door: Door, ground: Ground) -> None:
    for kind, text in (("error_line", "out of memory"), ("midway", "the connection to the host broke")):
        ground.double.behaviour[ground.name(1)] = kind
        native = door.chat(stream=True)
        assert json.loads(native.text.splitlines()[-1]) == {"error": text}
        last = events_of(door.post("/v1/chat/completions", CHAT | {"stream": True}))[-1]
        assert json.loads(last)["error"]["message"] == text


def test_a_stream_that_ends_without_its_last_line_is_an_error_on_the_openai_path(door: Door, ground: Ground) -> None:
    ground.double.behaviour[ground.name(1)] = "cut"
    last = events_of(door.post("/v1/chat/completions", CHAT | {"stream": True}))[-1]
    assert json.loads(last)["error"]["message"] == "the host ended its answer before it was complete"


def test_a_caller_that_leaves_takes_its_request_from_the_host(door: Door, ground: Ground) -> None:
    ground.double.behaviour[ground.name(1)] = "slow"
    with pytest.raises(httpx2.TimeoutException):
        httpx2.post(door.url + "/api/chat", json=CHAT, headers=door.headers(), timeout=0.3)
    assert wait_for(lambda: ground.double.cancelled == 1) < 2
