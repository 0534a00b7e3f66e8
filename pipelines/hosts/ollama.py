"""A real Ollama server, or the embedded host: every call checked for the ways in which it can half succeed."""

import json
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx2

from pipelines.hosts import Messages, Progress
from pipelines.hosts.errors import HostDown, HostRefused
from pipelines.hosts.facts import Answer, Created, Generation, HostFacts, Shown, Tag
from pipelines.hosts.versions import generation_of

CHUNK_BYTES = 1 << 20
# Create re-reads and on generation B rewrites the whole file without a word in between; a load reads it from disk.
CREATE_TIMEOUT_S, LOAD_TIMEOUT_S, UPLOAD_TIMEOUT_S = 1800.0, 600.0, 300.0
FROM = re.compile(r"^(FROM|ADAPTER) .*sha256[-:]([0-9a-f]{64})", re.MULTILINE)
CONNECT_TIMEOUT_S = 10.0  # a caller's patience with a slow host is not patience with an absent one
PROBE_NAME = "deploy.invalid/retune/probe"
NO_SPACE = re.compile(r"no space left|disk full|ENOSPC", re.IGNORECASE)


class OllamaHost:
    def __init__(self, url: str, headers: Mapping[str, str] | None = None, timeout_s: float = 10.0) -> None:
        self.url, self.timeout_s = url.rstrip("/"), timeout_s
        # trust_env off: a proxy set for the whole machine must not see clients' traffic.
        self.client = httpx2.Client(
            base_url=self.url,
            headers=dict(headers or {}),
            timeout=self._timeout(timeout_s),
            follow_redirects=False,
            trust_env=False,
        )

    def _timeout(self, seconds: float) -> httpx2.Timeout:
        return httpx2.Timeout(seconds, connect=min(self.timeout_s, CONNECT_TIMEOUT_S))

    def close(self) -> None:
        self.client.close()

    def probe(self) -> HostFacts:
        started = time.monotonic()
        version = str(self._ask("GET", "/api/version")["version"])
        latency_ms = (time.monotonic() - started) * 1000
        generation = generation_of(version) or self._probed_generation()
        return HostFacts(version, generation, self.resident(), latency_ms)

    def _probed_generation(self) -> Generation:
        """A source build says 0.0.0: tell its generation by two requests that change nothing.

        A names an unknown model as it was asked for, B and C with `:latest`; C refuses adapters before anything else.
        """
        shown = self._send("POST", "/api/show", {"model": PROBE_NAME})
        if ":latest" not in _error(shown):
            return Generation.A
        digest = "sha256:" + "0" * 64
        refused = self._send("POST", "/api/create", {"model": PROBE_NAME, "adapters": {"a.gguf": digest}})
        return Generation.C if "adapters" in _error(refused) else Generation.B

    def has_blob(self, digest: str) -> bool:
        response = self._send("HEAD", f"/api/blobs/{digest}")
        if response.status_code in (200, 404):
            return response.status_code == 200
        raise self._refusal(response, "asking for a blob")

    def push_blob(self, path: Path, digest: str, on_progress: Progress | None = None) -> int:
        if self.has_blob(digest):
            return 0
        size = path.stat().st_size
        try:
            response = self._upload(path, digest, size, on_progress)
        except HostDown:
            # The status may have been lost with the connection: what counts is whether the blob is there.
            if self.has_blob(digest):
                return size
            raise
        if response.status_code not in (200, 201):
            raise self._refusal(response, "uploading")
        if not self.has_blob(digest):
            raise HostDown(f"{self.url} took the upload but does not have it: it will be sent again")
        return size

    def _upload(self, path: Path, digest: str, size: int, on_progress: Progress | None) -> httpx2.Response:
        headers = {"Content-Length": str(size), "Content-Type": "application/octet-stream"}
        timeout = self._timeout(UPLOAD_TIMEOUT_S)
        request = self.client.build_request(
            "POST", f"/api/blobs/{digest}", content=_chunks(path, size, on_progress), headers=headers, timeout=timeout
        )
        return self._checked(request)

    def create(
        self,
        name: str,
        digest: str,
        parameters: Mapping[str, Any],
        template: str | None = None,
        system: str | None = None,
    ) -> Created:
        body: dict[str, Any] = {"model": name, "files": {"model.gguf": digest}, "parameters": dict(parameters)}
        body |= {key: value for key, value in (("template", template), ("system", system)) if value}
        try:
            self._stream_create(body)
        except HostDown as broken:
            return self._after_broken_create(name, broken)
        return self._created(name) or self._lost(name)

    def _stream_create(self, body: dict[str, Any]) -> None:
        timeout = self._timeout(CREATE_TIMEOUT_S)
        last: dict[str, Any] = {}
        try:
            with self.client.stream("POST", "/api/create", json=body, timeout=timeout) as response:
                if response.status_code != 200:
                    response.read()
                    raise self._refusal(response, "creating the model")
                for line in response.iter_lines():
                    last = json.loads(line) if line.strip() else last
                    if "error" in last:
                        raise self._create_refusal(str(last["error"]))
        except httpx2.HTTPError as fault:
            raise HostDown(f"{self.url} broke off while it created the model ({_reason(fault)})") from fault
        if last.get("status") != "success":
            raise HostDown(f"{self.url} ended the creation without a success; its last word was {last or 'nothing'}")

    def _after_broken_create(self, name: str, broken: HostDown) -> Created:
        """The outcome is unknown: a version tag is written once, so its presence tells. Nothing is sent again."""
        try:
            self._ask("GET", "/api/version")
        except HostDown:
            text = f"{broken}; it no longer answers: look whether it ended, and at its log, before trying again"
            raise HostDown(text) from broken
        if created := self._created(name):
            return created
        raise broken

    def _created(self, name: str) -> Created | None:
        return next((Created(tag.digest) for tag in self.tags() if tag.name == name), None)

    def _lost(self, name: str) -> Created:
        raise HostDown(f"{self.url} reported success but does not list {name}: look at its disk and log")

    def show(self, name: str) -> Shown | None:
        response = self._send("POST", "/api/show", {"model": name})
        if response.status_code == 404:
            return None
        found = self._document(response, "showing the model")
        digests = [(kind, f"sha256:{digest}") for kind, digest in FROM.findall(str(found.get("modelfile", "")))]
        return Shown(
            blob_digest=next((digest for kind, digest in digests if kind == "FROM"), ""),
            adapter_digests=tuple(digest for kind, digest in digests if kind == "ADAPTER"),
            template=str(found.get("template", "")),
            system=str(found.get("system", "")),
            parameters=_parameters(str(found.get("parameters", ""))),
            model_info=found.get("model_info") or {},
        )

    def tags(self) -> tuple[Tag, ...]:
        rows = self._ask("GET", "/api/tags")["models"] or []
        return tuple(Tag(row["name"], row["digest"], row["size"]) for row in rows)

    def resident(self) -> tuple[str, ...]:
        return tuple(row["digest"] for row in self._ask("GET", "/api/ps")["models"] or [])

    def preload(self, name: str, keep_alive: int = -1) -> None:
        # The connection is held until the model is loaded: a load ends when its client leaves.
        self._ask("POST", "/api/generate", {"model": name, "keep_alive": keep_alive, "stream": False}, LOAD_TIMEOUT_S)

    def unload(self, name: str) -> None:
        self._ask("POST", "/api/generate", {"model": name, "keep_alive": 0, "stream": False})

    def copy(self, source: str, destination: str) -> None:
        response = self._send("POST", "/api/copy", {"source": source, "destination": destination})
        if response.status_code != 200:
            raise self._refusal(response, f"copying {source}")

    def delete(self, name: str) -> None:
        response = self._send("DELETE", "/api/delete", {"model": name})
        if response.status_code not in (200, 404):
            raise self._refusal(response, f"deleting {name}")

    def chat(self, name: str, messages: Messages, options: Mapping[str, Any] | None = None) -> Answer:
        body = {"model": name, "messages": [dict(m) for m in messages], "options": dict(options or {}), "stream": False}
        started = time.monotonic()
        found = self._ask("POST", "/api/chat", body, max(self.timeout_s, LOAD_TIMEOUT_S))
        if not found.get("done"):
            raise HostDown(f"{self.url} gave an answer without an end: it is not counted")
        seconds, load_s = time.monotonic() - started, found.get("load_duration", 0) / 1e9
        return Answer(found["message"]["content"], seconds, load_s, found.get("done_reason", ""))

    def render(self, name: str, messages: Messages) -> str | None:
        body = {"model": name, "messages": [dict(m) for m in messages], "stream": False, "_debug_render_only": True}
        info = self._ask("POST", "/api/chat", body, LOAD_TIMEOUT_S).get("_debug_info") or {}
        return info.get("rendered_template")

    def _ask(self, method: str, path: str, body: Any = None, read_s: float | None = None) -> dict[str, Any]:
        return self._document(self._send(method, path, body, read_s), f"{method} {path}")

    def _send(self, method: str, path: str, body: Any = None, read_s: float | None = None) -> httpx2.Response:
        timeout = self._timeout(read_s or self.timeout_s)
        return self._checked(self.client.build_request(method, path, json=body, timeout=timeout))

    def _checked(self, request: httpx2.Request) -> httpx2.Response:
        try:
            response = self.client.send(request)
        except httpx2.HTTPError as fault:
            raise HostDown(f"{self.url} does not answer ({_reason(fault)}): it will be tried again") from fault
        if response.is_redirect:
            raise HostRefused(f"{self.url} sends requests elsewhere: enter the address that it leads to")
        return response

    def _document(self, response: httpx2.Response, doing: str) -> dict[str, Any]:
        if response.status_code != 200:
            raise self._refusal(response, doing)
        try:
            found = response.json()
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise HostRefused(f"{self.url} does not speak as an Ollama host does: is the address right?")
        return found

    def _refusal(self, response: httpx2.Response, doing: str) -> HostDown | HostRefused:
        status, text = response.status_code, _error(response)
        if status in (408, 429, 499, 502, 503, 504):
            return HostDown(f"{self.url} is busy ({status} {text}): it will be tried again")
        if status in (401, 403):
            return HostRefused(f"{self.url} refuses us ({status}): check its headers, allowed origins and Host rule")
        if NO_SPACE.search(text):
            return HostRefused(f"{self.url} has no space left: free at least three times the model's size on it")
        return HostRefused(f"{self.url} refused {doing} ({status} {text}): see the host's log")

    def _create_refusal(self, text: str) -> HostRefused:
        if NO_SPACE.search(text):
            return HostRefused(f"{self.url} has no space left: free at least three times the model's size on it")
        return HostRefused(f"{self.url} refused to create the model: {text}")


def _chunks(path: Path, size: int, on_progress: Progress | None) -> Iterator[bytes]:
    """One reused megabyte at a time: memory stays flat whatever the size."""
    sent = 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk
            sent += len(chunk)
            if on_progress:
                on_progress(sent, size)


def _error(response: httpx2.Response) -> str:
    try:
        found = response.json()
    except ValueError:
        return response.text[:200]
    return str(found.get("error", "")) if isinstance(found, dict) else str(found)[:200]


def _reason(fault: Exception) -> str:
    return f"{type(fault).__name__}: {fault}" if str(fault) else type(fault).__name__


def _parameters(text: str) -> tuple[tuple[str, str], ...]:
    """Lines of `name   value`; quoted values are JSON strings."""
    rows = [line.split(None, 1) for line in text.splitlines() if line.strip()]
    return tuple((name, json.loads(value) if value.startswith('"') else value.strip()) for name, value in rows)
