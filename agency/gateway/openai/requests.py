"""OpenAI requests become /api/chat requests, with the defaults that an Ollama host itself applies on /v1."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

import orjson

from agency.gateway.asks import Ask, key_of, model_of, written
from agency.gateway.wire import Path, Refused

# On /v1 an Ollama host overrides even baked parameters with 1.0, and /v1/completions forces the penalties to 0.
CHAT_DEFAULTS: dict[str, Any] = {"temperature": 1.0, "top_p": 1.0}
COMPLETION_DEFAULTS: dict[str, Any] = CHAT_DEFAULTS | {"frequency_penalty": 0.0, "presence_penalty": 0.0}
PLAIN_OPTIONS = ("temperature", "top_p", "seed", "frequency_penalty", "presence_penalty")


def openai_ask(path: Path, document: dict[str, Any], conversation: str) -> Ask:
    """A /v1 request as one to /api/chat. `Refused` 400 for what has no counterpart there."""
    is_chat = path is Path.V1_CHAT
    messages = chat_messages(document) if is_chat else [{"role": "user", "content": completion_prompt(document)}]
    is_stream = document.get("stream") is True
    sent: dict[str, Any] = {"messages": messages, "stream": is_stream, "options": options_of(document, is_chat)}
    sent |= answer_fields(document) if is_chat else {}
    written(sent)
    stream_options = document.get("stream_options")
    return Ask(
        path=Path.CHAT,
        model=model_of(document),
        document=sent,
        key=key_of(document | {"messages": messages}, conversation),
        is_stream=is_stream,
        wants_usage=isinstance(stream_options, dict) and stream_options.get("include_usage") is True,
        caller_path=path,
    )


def options_of(document: Mapping[str, Any], is_chat: bool) -> dict[str, Any]:
    given = {name: document[name] for name in PLAIN_OPTIONS if document.get(name) is not None}
    limit = document.get("max_completion_tokens") or document.get("max_tokens")
    if limit is not None:
        given["num_predict"] = limit
    stop = document.get("stop")
    if stop is not None:
        given["stop"] = [stop] if isinstance(stop, str) else stop
    return (CHAT_DEFAULTS if is_chat else COMPLETION_DEFAULTS) | given


def answer_fields(document: Mapping[str, Any]) -> dict[str, Any]:
    """Tools, format and log-probabilities, where they were asked for."""
    fields = {name: document[name] for name in ("tools", "logprobs", "top_logprobs") if document.get(name)}
    match document.get("response_format"):
        case {"type": "json_object"}:
            fields["format"] = "json"
        case {"type": "json_schema", "json_schema": {"schema": schema}}:
            fields["format"] = schema
    return fields


def completion_prompt(document: Mapping[str, Any]) -> str:
    match document.get("prompt"):
        case str(text) | [str(text)]:
            pass
        case _:
            raise Refused(400, "prompt must be a string")
    if document.get("suffix"):
        raise Refused(400, "suffix is not supported")
    return text


def chat_messages(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    messages = document.get("messages")
    if not isinstance(messages, list) or not messages:
        raise Refused(400, "[] is too short - 'messages'")
    return [chat_message(message) for message in messages]


def chat_message(message: Any) -> dict[str, Any]:
    if not isinstance(message, dict) or not isinstance(message.get("role"), str):
        raise Refused(400, "each message must be an object with a role")
    text, images = content_of(message.get("content"))
    made: dict[str, Any] = {"role": message["role"], "content": text}
    if images:
        made["images"] = images
    if calls := message.get("tool_calls"):
        if not isinstance(calls, list):
            raise Refused(400, "invalid tool calls: they must be a list")
        made["tool_calls"] = [tool_call(call) for call in calls]
    if message.get("tool_call_id"):
        made["tool_call_id"] = message["tool_call_id"]
    return made


def content_of(content: Any) -> tuple[str, list[str]]:
    """(text, base64 images) of a message's content: a string, nothing, or a list of parts."""
    match content:
        case None:
            return "", []
        case str():
            return content, []
        case list():
            texts = [part["text"] for part in content if is_part(part, "text") and isinstance(part.get("text"), str)]
            images = [image_of(part) for part in content if is_part(part, "image_url")]
            if len(texts) + len(images) != len(content):
                raise Refused(400, "invalid message format: parts must be text or image_url")
            return "\n".join(texts), images
    raise Refused(400, "invalid message content type")


def is_part(part: Any, kind: str) -> bool:
    return isinstance(part, dict) and part.get("type") == kind


def image_of(part: Mapping[str, Any]) -> str:
    """Base64 of a data: URL. Addresses are refused: the gateway fetches nothing on a caller's word."""
    image = part.get("image_url")
    url = image.get("url") if isinstance(image, dict) else image
    head, comma, data = str(url).partition(";base64,")
    if not comma or not head.startswith("data:image/"):
        raise Refused(400, "invalid image input: only data: URLs are taken")
    try:
        base64.b64decode(data, validate=True)
    except binascii.Error:
        raise Refused(400, "invalid image input: not base64") from None
    return data


def tool_call(call: Any) -> dict[str, Any]:
    """OpenAI carries the arguments as JSON text, /api/chat as an object."""
    try:
        function = call["function"]
        arguments = orjson.loads(function["arguments"] or "{}")
        return {"id": call.get("id", ""), "function": {"name": function["name"], "arguments": arguments}}
    except (KeyError, TypeError, AttributeError, orjson.JSONDecodeError):
        raise Refused(400, "invalid tool call arguments") from None
