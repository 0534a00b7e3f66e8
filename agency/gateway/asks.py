"""What a caller asks, made fit for a host: with its key, without what would reload the model for others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from agency.gateway.wire import Path, Refused
from pipelines.domain.assignment import AssignmentKey, choose_key
from pipelines.domain.prompting import with_system

# Options of the runner: another value makes the host reload the model, for every caller (ollama/ollama#8029, #9977).
RUNNER_OPTIONS = frozenset(
    {"num_ctx", "num_batch", "num_gpu", "main_gpu", "num_thread", "use_mmap", "use_mlock", "numa", "low_vram",
     "vocab_only", "f16_kv", "logits_all", "embedding_only", "rope_frequency_base", "rope_frequency_scale"}
)  # fmt: skip
# `keep_alive` moves the timer of the shared runner, `shift` reloads it, `_debug_render_only` answers without the model.
OWNED_FIELDS = frozenset({"model", "keep_alive", "shift", "_debug_render_only"})
# What can be long; what is asked is written for the key, and all of it for the host.
LONG_FIELDS = frozenset({"messages", "prompt", "system", "images"})
CHARS_PER_TOKEN = 4
RELEASE_TAGS = (":latest", ":production")


@dataclass(frozen=True, slots=True)
class Ask:
    """One request for a model. `document` is the host's body without its model, `path` the host's path."""

    path: Path
    model: str
    document: Mapping[str, Any]
    key: AssignmentKey
    is_stream: bool = True
    wants_usage: bool = False
    caller_path: Path = Path.CHAT
    spend: Callable[[int], None] | None = None

    def payload(self, model_name: str, system: str = "") -> bytes:
        """The body for a host; `system` takes the place of the caller's own system prompt."""
        document = dict(self.document)
        if system and isinstance(document.get("messages"), list):
            document["messages"] = with_system(document["messages"], system, replaces=True)
        elif system and document.get("system"):
            document["system"] = system
        return written({"model": model_name, **document})


def written(document: Any) -> bytes:
    """As JSON. `Refused` 400 where it is nested deeper than can be written: what is read may be deeper."""
    try:
        return orjson.dumps(document)
    except orjson.JSONEncodeError:
        raise Refused(400, "invalid JSON: nested too deeply") from None


def native_ask(path: Path, document: dict[str, Any], conversation: str) -> Ask:
    """An /api/chat or /api/generate request, untouched but for what the gateway owns."""
    sent = {name: value for name, value in document.items() if name not in OWNED_FIELDS}
    messages = sent.get("messages")
    if isinstance(messages, list) and not all(isinstance(message, dict) for message in messages):
        raise Refused(400, "each message must be an object")
    written({name: value for name, value in sent.items() if name not in LONG_FIELDS})
    if isinstance(sent.get("options"), dict):
        sent["options"] = {name: value for name, value in sent["options"].items() if name not in RUNNER_OPTIONS}
    return Ask(
        path=path,
        model=model_of(document),
        document=sent,
        key=key_of(document, conversation),
        is_stream=document.get("stream") is not False,
        caller_path=path,
    )


def model_of(document: Mapping[str, Any]) -> str:
    """The name asked for, without the tag that stands for whatever is in production."""
    model = document.get("model")
    if not isinstance(model, str) or not model:
        raise Refused(400, "model is required")
    for tag in RELEASE_TAGS:
        model = model.removesuffix(tag)
    return model


def key_of(document: Mapping[str, Any], conversation: str) -> AssignmentKey:
    """What tells this conversation from others: the header, a session or user field, else all that was asked.

    Few-shot callers send the same first turn always, so the first turn alone would not do.
    """
    asked = document.get("messages") or [document.get("system"), document.get("prompt")]
    session = document.get("session_id") or document.get("session")
    user = document.get("user")
    return choose_key(conversation, text_of(session), text_of(user), written(asked).decode())


def about_tokens(document: Mapping[str, Any]) -> int:
    """How many tokens a question has, by the length of its texts."""
    messages = document.get("messages")
    turns = messages if isinstance(messages, list) else []
    said = [turn.get("content") for turn in turns if isinstance(turn, dict)]
    texts = [document.get("system"), document.get("prompt"), *said]
    return sum(len(text) for text in texts if isinstance(text, str)) // CHARS_PER_TOKEN


def text_of(value: Any) -> str | None:
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else None
