"""POST /api/generate, /api/chat and /api/embed: one request, one lease of a runner, one stream of documents."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from agency.ollama_host import describe, options
from agency.ollama_host.host import Host, threads_for
from agency.ollama_host.scheduler import Runner, Want
from agency.ollama_host.store.disk import Manifest
from agency.ollama_host.store.gguf import Generation
from agency.ollama_host.wire import (
    NDJSON,
    Refused,
    Reply,
    Request,
    Stream,
    as_json,
    encode,
    keep_alive_s,
    now,
    rfc3339,
)  # fmt: skip
from pipelines.hosts.versions import runs_on_own_engine

Document = dict[str, Any]
METRICS = ("prompt_eval_count", "prompt_eval_duration", "eval_count", "eval_duration")


@dataclass(slots=True)
class Call:
    """One inference request, read and checked."""

    host: Host
    document: Document
    manifest: Manifest
    is_chat: bool
    messages: list[Document]
    started: int = field(default_factory=time.monotonic_ns)
    load_ns: int = 0

    @property
    def is_stream(self) -> bool:
        return self.document.get("stream") is not False

    @property
    def is_debug(self) -> bool:
        return bool(self.document.get("_debug_render_only"))

    def line(self, text: str, **more: Any) -> Document:
        part = {"message": {"role": "assistant", "content": text}} if self.is_chat else {"response": text}
        return {"model": self.document["model"], "created_at": rfc3339(now()), **part, "done": False, **more}


async def generate(host: Host, request: Request) -> Reply | Stream:
    document = request.document()
    manifest = host.model(document.setdefault("model", ""))
    if document.get("raw") and any(document.get(name) for name in ("template", "system", "context")):
        raise Refused(400, "raw mode does not support template, system, or context")
    messages = [] if not document.get("prompt") else _generate_messages(host, manifest, document)
    return await _respond(Call(host, document, manifest, False, messages))


def _generate_messages(host: Host, manifest: Manifest, document: Document) -> list[Document]:
    system = document.get("system") or describe.system(host, manifest)
    first = [{"role": "system", "content": system}] if system else []
    return [*first, {"role": "user", "content": document["prompt"]}]


async def chat(host: Host, request: Request) -> Reply | Stream:
    return await _respond(chat_call(host, request.document()))


def chat_call(host: Host, document: Document) -> Call:
    """Read a chat request. Raises Refused for a missing or unknown model and a bad message list."""
    if not document.get("model"):
        raise Refused(400, "model is required")
    manifest = host.model(document["model"])
    asked = document.get("messages") or []
    if not all(isinstance(m, dict) and isinstance(m.get("role"), str) for m in asked):
        raise Refused(400, "json: cannot unmarshal value into Go struct field ChatRequest.messages of type api.Message")
    messages = [{"role": m["role"], "content": m.get("content") or ""} for m in asked]
    return Call(host, document, manifest, True, _with_baked(host, manifest, messages) if messages else [])


def _with_baked(host: Host, manifest: Manifest, messages: list[Document]) -> list[Document]:
    messages = json.loads(host.store.read(manifest.last("messages")) or b"[]") + messages
    system = describe.system(host, manifest)
    if system and messages[0]["role"] != "system":
        return [{"role": "system", "content": system}, *messages]
    return messages


async def _respond(call: Call) -> Reply | Stream:
    keep_alive = keep_alive_s(call.document.get("keep_alive"))
    _check(call)
    wanted = want(call)
    if not call.messages and not call.is_debug:
        return await _load_or_unload(call, wanted, keep_alive)
    documents = answer(call, wanted, keep_alive)
    if call.is_stream and not call.is_debug:
        return Stream(_lines(documents), NDJSON)
    return as_json(await whole(call, documents))


def _check(call: Call) -> None:
    document, name = call.document, call.document["model"]
    options.check_format(document.get("format"))
    if document.get("think"):
        raise Refused(400, f'"{name}" does not support thinking')
    if not 0 <= int(document.get("top_logprobs") or 0) <= 20:
        raise Refused(400, "top_logprobs must be between 0 and 20")
    if document.get("tools") and "tools" not in describe.capabilities(
        call.host, call.manifest, call.host.header(call.manifest)
    ):
        raise Refused(400, f"{call.manifest.name.short} does not support tools")


def want(call: Call) -> Want:
    """What this request needs loaded."""
    host, manifest = call.host, call.manifest
    layer, adapter = manifest.last("model"), manifest.last("adapter")
    header = host.header(manifest)
    asked = int(_options(call)["num_ctx"])
    num_ctx = max(1, min(asked, header.of_architecture("context_length") or asked))
    assert layer  # host.header has refused a model without one
    blob = host.store.blob_path(layer.digest)
    # A compares the asked context, B and C the one clamped to what the model was trained for.
    compared = (asked if host.generation is Generation.A else num_ctx, *_launch_flags(call))
    adapter_path = host.store.blob_path(adapter.digest) if adapter else None
    if adapter and host.generation is Generation.A and runs_on_own_engine(header.architecture):
        raise Refused(500, "loras are not yet implemented")
    described = describe.details(host, manifest)
    size = blob.stat().st_size + 2 * num_ctx * int(header.of_architecture("embedding_length") or 0)
    return Want(manifest, blob, adapter_path, num_ctx, (compared, adapter_path), threads_for(blob), size, described)


def _launch_flags(call: Call) -> tuple[Any, ...]:
    """What else a runner is started with: another value loads it anew for everybody."""
    found = _options(call)
    return (call.document.get("shift") is not False, *(found.get(name) for name in options.LAUNCH))


def _options(call: Call) -> Document:
    return options.merged(describe.parameters(call.host, call.manifest), call.document.get("options"))


async def _load_or_unload(call: Call, wanted: Want, keep_alive: float | None) -> Reply:
    if keep_alive == 0:
        call.host.scheduler.unload(wanted.blob)
        return as_json(call.line("", done=True, done_reason="unload"))
    async with call.host.scheduler.lease(wanted, keep_alive):
        return as_json(call.line("", done=True, done_reason="load"))


async def answer(call: Call, wanted: Want, keep_alive: float | None) -> AsyncGenerator[Document]:
    """Documents of one answer; the last has `done: true` and the metrics."""
    async with call.host.scheduler.lease(wanted, keep_alive) as runner:
        call.load_ns = time.monotonic_ns() - call.started
        if call.is_debug:
            yield await _rendered(call, runner)
            return
        await asyncio.sleep(call.host.settings.slow_ms / 1000)
        lines = runner.ask(ask_line(call, "answer"))
        try:
            async for line in lines:
                if "done" in line:
                    yield _last(call, line["done"])
                else:
                    yield call.line(line["text"], **({"logprobs": line["logprobs"]} if line["logprobs"] else {}))
        except Refused as refused:
            raise _translated(call, refused) from None
        finally:
            await lines.aclose()


def ask_line(call: Call, kind: str) -> Document:
    """What the model process is asked."""
    document = call.document
    template, _ = describe.selected_template(call.host, call.manifest, call.host.header(call.manifest))
    passed = {name: document.get(name) for name in ("format", "logprobs", "raw", "prompt", "truncate")}
    return passed | {
        "ask": kind,
        "messages": call.messages,
        "template": document.get("template") or template,
        "options": _options(call),
        "top_logprobs": int(document.get("top_logprobs") or 0),
    }


async def _rendered(call: Call, runner: Runner) -> Document:
    text = ""
    async for line in runner.ask(ask_line(call, "render")):
        text = line["done"]["text"]
    found = call.line("", _debug_info={"rendered_template": text})
    return found | ({"message": {"role": "", "content": ""}} if call.is_chat else {})


def _last(call: Call, done: Document) -> Document:
    metrics = {name: done[name] for name in METRICS if done[name]}
    times = {"total_duration": time.monotonic_ns() - call.started, "load_duration": call.load_ns}
    context = {"context": done["context"]} if not call.is_chat and not call.document.get("raw") else {}
    return call.line("", **{"done": True}, done_reason=done["done_reason"], **context, **times, **metrics)


def _translated(call: Call, refused: Refused) -> Refused:
    """An over-long prompt is told by A in its own words, by B and C with the inner server's JSON document as text."""
    if refused.status != 400 or not refused.text.startswith('{"n_prompt_tokens"'):
        return refused
    if call.host.generation is Generation.A:
        return Refused(400, "the input length exceeds the context length")
    sizes = json.loads(refused.text)
    text = (
        f"request ({sizes['n_prompt_tokens']} tokens) exceeds the available context size "
        f"({sizes['n_ctx']} tokens), try increasing it"
    )
    inner = {"code": 400, "message": text, "type": "exceed_context_size_error", **sizes}
    return Refused(400, json.dumps({"error": inner}, separators=(",", ":")))


async def whole(call: Call, documents: AsyncIterator[Document]) -> Document:
    """All documents of an answer as one."""
    text, logprobs, last = "", [], {}
    async for last in documents:
        text += last["message"]["content"] if call.is_chat else last["response"]
        logprobs += last.pop("logprobs", [])
    if call.is_chat:
        last["message"]["content"] = text
    else:
        last["response"] = text
    return last | ({"logprobs": logprobs} if logprobs else {})


async def _lines(documents: AsyncIterator[Document]) -> AsyncGenerator[bytes]:
    is_first = True
    try:
        async for document in documents:
            yield encode(document) + b"\n"
            is_first = False
    except Refused as refused:
        if is_first:
            raise
        yield encode(refused.document) + b"\n"


async def embed(host: Host, request: Request) -> Reply:
    return as_json(await embedded(host, request.document()))


async def embedded(host: Host, document: Document) -> Document:
    """Embeddings of a chat model: A serves them, the others' inner server says that it does not."""
    manifest = host.model(document.get("model") or "")
    if host.generation is not Generation.A:
        raise Refused(501, "This server does not support embeddings. Start it with `--embeddings`")
    asked = document.get("input") or []
    call = Call(host, document, manifest, True, [])
    found: Document = {}
    async with host.scheduler.lease(want(call), keep_alive_s(document.get("keep_alive"))) as runner:
        call.load_ns = time.monotonic_ns() - call.started
        async for line in runner.ask({"ask": "embed", "texts": [asked] if isinstance(asked, str) else asked}):
            found = line["done"]
    times = {"total_duration": time.monotonic_ns() - call.started, "load_duration": call.load_ns}
    return {"model": document["model"], **found, **times}
