"""/api/chat answers become OpenAI answers: one object, or server-sent events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from agency.gateway.asks import Ask
from agency.gateway.wire import Path, Wire, error_document

DONE = b"data: [DONE]\n\n"
FINGERPRINT = "fp_ollama"


def event(document: Mapping[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(document) + b"\n\n"


def usage_of(final: Mapping[str, Any]) -> dict[str, int]:
    # A host leaves out counts that are zero.
    asked, answered = final.get("prompt_eval_count", 0), final.get("eval_count", 0)
    return {"prompt_tokens": asked, "completion_tokens": answered, "total_tokens": asked + answered}


def finish_of(final: Mapping[str, Any], has_tool_calls: bool) -> str | None:
    if has_tool_calls:
        return "tool_calls"
    reason = final.get("done_reason")
    return reason if reason in ("stop", "length") else ("stop" if final.get("done") else None)


def tool_calls_of(message: Mapping[str, Any], start: int = 0) -> list[dict[str, Any]]:
    made = []
    for index, call in enumerate(message.get("tool_calls") or (), start):
        function = call.get("function") or {}
        arguments = orjson.dumps(function.get("arguments") or {}).decode()
        body = {"name": function.get("name", ""), "arguments": arguments}
        made.append({"id": call.get("id") or f"call_{index}", "index": index, "type": "function", "function": body})
    return made


@dataclass(slots=True)
class Translator:
    """Turns the answer to one ask. `events` is fed line by line; the role is sent once, with the first delta."""

    ask: Ask
    request_id: str
    created: int
    has_begun: bool = False
    tool_calls: int = 0

    @property
    def is_chat(self) -> bool:
        return self.ask.caller_path is Path.V1_CHAT

    def whole(self, answer: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to a request without streaming."""
        message = answer.get("message") or {}
        calls = tool_calls_of(message)
        choice: dict[str, Any] = {"index": 0, "finish_reason": finish_of(answer, bool(calls))}
        if self.is_chat:
            choice["message"] = {"role": "assistant", "content": message.get("content", "")}
            choice["message"] |= {"tool_calls": calls} if calls else {}
            choice |= {"logprobs": {"content": answer["logprobs"]}} if answer.get("logprobs") else {}
        else:
            choice["text"] = message.get("content", "")
        return self.frame([choice], "chat.completion" if self.is_chat else "text_completion") | {
            "usage": usage_of(answer)
        }

    def frame(self, choices: list[dict[str, Any]], kind: str) -> dict[str, Any]:
        prefix = "chatcmpl" if self.is_chat else "cmpl"
        head = {"id": f"{prefix}-{self.request_id}", "object": kind, "created": self.created, "model": self.ask.model}
        return head | {"system_fingerprint": FINGERPRINT, "choices": choices}

    def events(self, line: Mapping[str, Any]) -> Iterator[bytes]:
        """The events for one line of the host's stream. An error line becomes an error event, and no [DONE] follows."""
        if "error" in line:
            yield self.fault(str(line["error"]))
            return
        yield from self._chat_events(line) if self.is_chat else self._completion_events(line)
        if line.get("done"):
            yield from self._end(line)

    def fault(self, message: str) -> bytes:
        return event(error_document(Wire.OPENAI, 500, message))

    def _chat_events(self, line: Mapping[str, Any]) -> Iterator[bytes]:
        message = line.get("message") or {}
        delta = self._delta(message)
        if delta:
            choice = {"index": 0, "delta": delta, "finish_reason": None}
            choice |= {"logprobs": {"content": line["logprobs"]}} if line.get("logprobs") else {}
            yield event(self.frame([choice], "chat.completion.chunk"))
        if line.get("done"):
            last = {"index": 0, "delta": {}, "finish_reason": finish_of(line, self.tool_calls > 0)}
            yield event(self.frame([last], "chat.completion.chunk"))

    def _delta(self, message: Mapping[str, Any]) -> dict[str, Any]:
        calls = tool_calls_of(message, self.tool_calls)
        self.tool_calls += len(calls)
        delta = {"content": message.get("content", "")} if message.get("content") or not self.has_begun else {}
        if not self.has_begun:
            delta = {"role": "assistant"} | delta
            self.has_begun = True
        return delta | ({"tool_calls": calls} if calls else {})

    def _completion_events(self, line: Mapping[str, Any]) -> Iterator[bytes]:
        text = (line.get("message") or {}).get("content", "")
        choice = {"index": 0, "text": text, "finish_reason": finish_of(line, False) if line.get("done") else None}
        yield event(self.frame([choice], "text_completion"))

    def _end(self, line: Mapping[str, Any]) -> Iterator[bytes]:
        if self.ask.wants_usage:
            kind = "chat.completion.chunk" if self.is_chat else "text_completion"
            yield event(self.frame([], kind) | {"usage": usage_of(line)})
        yield DONE
