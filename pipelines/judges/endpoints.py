"""Judges over HTTP: Ollama's own API, and any server that speaks OpenAI's chat completions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx2

from pipelines.judges import Endpoint, JudgeDown, Messages, Reply
from pipelines.outbound import Access, OutboundRefused
from pipelines.outbound.client import open_client, reason_of

MAX_REPLY_TOKENS = 400
LONGEST_REPLY = 200_000


class _OverHttp:
    """One client for all asks; no redirects and no proxy of the machine: rows go where the client allowed, only."""

    endpoint: Endpoint

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        access = Access.bearer(endpoint.key) if endpoint.key else Access()
        self._client = open_client(allow_private=endpoint.allow_private, timeout_s=endpoint.timeout_s, access=access)

    def close(self) -> None:
        self._client.close()

    def _call(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        try:
            response = self._client.request(method, self.endpoint.url.rstrip("/") + path, json=body)
        except httpx2.TimeoutException as fault:
            raise JudgeDown(f"no answer within {self.endpoint.timeout_s:g} s") from fault
        except httpx2.HTTPError as fault:
            raise JudgeDown(f"no connection ({reason_of(fault)})") from fault
        except OutboundRefused as refused:
            raise JudgeDown(str(refused)) from refused
        if response.status_code != 200 or len(response.content) > LONGEST_REPLY:
            raise JudgeDown(f"status {response.status_code}")
        try:
            document = response.json()
        except ValueError as fault:
            raise JudgeDown("an answer that is no JSON") from fault
        if not isinstance(document, dict):
            raise JudgeDown("an answer that is no JSON object")
        return document


class OllamaJudge(_OverHttp):
    """`url` is the server's own, without /api."""

    def version(self) -> str:
        tags = self._call("GET", "/api/tags").get("models") or []
        named = {str(tag.get("name")): str(tag.get("digest")) for tag in tags if isinstance(tag, dict)}
        found = named.get(self.endpoint.model) or named.get(f"{self.endpoint.model}:latest")
        if not found:
            raise JudgeDown(f"it has no model {self.endpoint.model}")
        return found.removeprefix("sha256:")

    def ask(self, messages: Messages, schema: Mapping[str, Any]) -> Reply:
        body = {
            "model": self.endpoint.model,
            "messages": [dict(one) for one in messages],
            "stream": False,
            "format": dict(schema),
            "options": {"temperature": 0, "seed": 0, "num_predict": MAX_REPLY_TOKENS},
        }
        said = self._call("POST", "/api/chat", body)
        message = said.get("message")
        if not said.get("done") or not isinstance(message, dict):
            raise JudgeDown("an answer without an end")
        return Reply(str(message.get("content", "")), str(said.get("model", self.endpoint.model)))


class OpenAiJudge(_OverHttp):
    """`url` ends where /chat/completions begins, as with https://models.example/v1."""

    def version(self) -> str:
        """Such servers tell a model's exact version with each answer only."""
        return ""

    def ask(self, messages: Messages, schema: Mapping[str, Any]) -> Reply:
        form = {"type": "json_schema", "json_schema": {"name": "verdict", "strict": True, "schema": dict(schema)}}
        body = {
            "model": self.endpoint.model,
            "messages": [dict(one) for one in messages],
            "temperature": 0,
            "seed": 0,
            "max_tokens": MAX_REPLY_TOKENS,
            "response_format": form,
        }
        said = self._call("POST", "/chat/completions", body)
        try:
            text = said["choices"][0]["message"]["content"]
        except (KeyError, IndexError, TypeError) as fault:
            raise JudgeDown("an answer without a message") from fault
        mark = said.get("system_fingerprint") or ""
        return Reply(str(text or ""), f"{said.get('model', self.endpoint.model)} {mark}".strip())
