"""The /v1 routes: OpenAI shapes over the native chat call, with that layer's own defaults."""

import random
import time
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from agency.ollama_host import inference
from agency.ollama_host.host import Host
from agency.ollama_host.store.disk import Manifest
from agency.ollama_host.store.gguf import Generation
from agency.ollama_host.wire import PLAIN_JSON, SSE, Refused, Reply, Request, Stream, as_json, encode

Document = dict[str, Any]
ERROR_TYPES = {400: "invalid_request_error", 404: "not_found_error"}
PASSED_OPTIONS = ("seed", "frequency_penalty", "presence_penalty", "top_p", "temperature")


def as_openai(refused: Refused, content_type: str = PLAIN_JSON) -> Refused:
    kind = ERROR_TYPES.get(refused.status, "api_error")
    document = {"error": {"message": refused.text, "type": kind, "param": None, "code": None}}
    return Refused(refused.status, refused.text, content_type, document)


async def models(host: Host, _request: Request) -> Reply:
    found = sorted(host.store.all(), key=lambda manifest: manifest.modified_at, reverse=True)
    rows = [_row(manifest, manifest.name.short) for manifest in found]
    return as_json({"object": "list", "data": rows or None}, content_type=PLAIN_JSON)


async def model(host: Host, request: Request) -> Reply:
    manifest = host.find(request.rest)
    if manifest is None:
        raise as_openai(Refused(404, f"model '{request.rest}' not found"))
    return as_json(_row(manifest, request.rest), content_type=PLAIN_JSON)


def _row(manifest: Manifest, shown: str) -> Document:
    created = int(manifest.modified_at.timestamp())
    return {"id": shown, "object": "model", "created": created, "owned_by": manifest.name.namespace}


async def chat_completions(host: Host, request: Request) -> Reply | Stream:
    document = request.document()
    if not document.get("messages"):
        raise as_openai(Refused(400, "[] is too short - 'messages'"), "application/json; charset=utf-8")
    native = _native(document) | {"messages": [_flattened(message) for message in document["messages"]]}
    return await _respond(host, document, native, _Chat(host.generation))


async def completions(host: Host, request: Request) -> Reply | Stream:
    """Completions apply the chat template too: a prompt is one user message."""
    document = request.document()
    native = _native(document) | {"messages": [{"role": "user", "content": document.get("prompt") or ""}]}
    native["options"] |= {"frequency_penalty": 0.0, "presence_penalty": 0.0}
    return await _respond(host, document, native, _Text(host.generation))


async def embeddings(host: Host, request: Request) -> Reply:
    document = request.document()
    try:
        found = await inference.embedded(host, {name: document.get(name) for name in ("model", "input")})
    except Refused as refused:
        raise as_openai(refused) from None
    rows = [{"object": "embedding", "embedding": row, "index": at} for at, row in enumerate(found["embeddings"])]
    usage = {"prompt_tokens": found["prompt_eval_count"], "total_tokens": found["prompt_eval_count"]}
    body = {"object": "list", "data": rows, "model": document.get("model", ""), "usage": usage}
    return as_json(body, content_type=PLAIN_JSON)


def _flattened(message: Document) -> Document:
    content = message.get("content") or ""
    if isinstance(content, list):
        content = "".join(part.get("text", "") for part in content if part.get("type") == "text")
    return {"role": message.get("role", "user"), "content": content}


def _native(document: Document) -> Document:
    """Temperature and top_p default to 1.0 on this layer and override what the model has baked in."""
    wanted: Document = {"temperature": 1.0, "top_p": 1.0}
    wanted |= {name: document[name] for name in PASSED_OPTIONS if document.get(name) is not None}
    if document.get("max_tokens") is not None:
        wanted["num_predict"] = document["max_tokens"]
    if stop := document.get("stop"):
        wanted["stop"] = [stop] if isinstance(stop, str) else stop
    return {"model": document.get("model", ""), "options": wanted, "format": _format(document)}


def _format(document: Document) -> Any:
    form = document.get("response_format") or {}
    if form.get("type") == "json_object":
        return "json"
    return (form.get("json_schema") or {}).get("schema") if form.get("type") == "json_schema" else None


class _Shape:
    prefix, kind, chunk_kind = "", "", ""

    def __init__(self, generation: Generation) -> None:
        self.generation = generation

    def choice(self, text: str, reason: str | None) -> Document:
        raise RuntimeError("a shape says how its choices look")

    def first(self, text: str, reason: str | None, index: int) -> Document:
        return self.choice(text, reason)


class _Chat(_Shape):
    prefix, kind, chunk_kind = "chatcmpl", "chat.completion", "chat.completion.chunk"

    def choice(self, text: str, reason: str | None) -> Document:
        return {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": reason}

    def first(self, text: str, reason: str | None, index: int) -> Document:
        """A delta: A names the role every time; B and C only at first, and end with an empty one."""
        if self.generation is Generation.A or index == 0:
            return {"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": reason}
        return {"index": 0, "delta": {} if reason else {"content": text}, "finish_reason": reason}


class _Text(_Shape):
    prefix, kind, chunk_kind = "cmpl", "text_completion", "text_completion"

    def choice(self, text: str, reason: str | None) -> Document:
        return {"text": text, "index": 0, "finish_reason": reason}


async def _respond(host: Host, document: Document, native: Document, shape: _Shape) -> Reply | Stream:
    head = {
        "id": f"{shape.prefix}-{random.randrange(999)}",
        "created": int(time.time()),
        "model": document.get("model", ""),
        "system_fingerprint": "fp_ollama",
    }
    try:
        call = inference.chat_call(host, native)
        documents = inference.answer(call, inference.want(call), None)
        if document.get("stream"):
            return Stream(_events(document, documents, head, shape), SSE)
        last = await inference.whole(call, documents)
    except Refused as refused:
        raise as_openai(refused) from None
    choice = shape.choice(last["message"]["content"], last.get("done_reason"))
    body = {**head, "object": shape.kind, "choices": [choice], "usage": _usage(last)}
    return as_json(body, content_type=PLAIN_JSON)


def _usage(last: Document) -> Document:
    asked, given = last.get("prompt_eval_count", 0), last.get("eval_count", 0)
    return {"prompt_tokens": asked, "completion_tokens": given, "total_tokens": asked + given}


async def _events(
    document: Document, documents: AsyncIterator[Document], head: Document, shape: _Shape
) -> AsyncGenerator[bytes]:
    """Server-sent events; the stream of a failed answer ends without [DONE], as real hosts' do."""
    head, last, index = {**head, "object": shape.chunk_kind}, {}, 0
    try:
        async for last in documents:
            choice = shape.first(last["message"]["content"], last.get("done_reason"), index)
            yield _event({**head, "choices": [choice]})
            index += 1
    except Refused as refused:
        if index == 0:
            raise as_openai(refused) from None
        return
    if (document.get("stream_options") or {}).get("include_usage"):
        yield _event({**head, "choices": [], "usage": _usage(last)})
    yield b"data: [DONE]\n\n"


def _event(document: Document) -> bytes:
    return b"data: " + encode(document) + b"\n\n"
