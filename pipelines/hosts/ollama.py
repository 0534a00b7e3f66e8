"""A real Ollama server, or the embedded host: every call checked for the ways in which it can half succeed."""

import json
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx2

from pipelines.hosts import Messages, Progress
from pipelines.hosts.calls import NO_SPACE, Calls, error_of
from pipelines.hosts.errors import HostDown, HostLost, HostRefused
from pipelines.hosts.facts import Answer, Created, Generation, HostFacts, Loaded, Shown, Tag
from pipelines.hosts.versions import generation_of
from pipelines.outbound import OutboundRefused
from pipelines.outbound.client import reason_of

CHUNK_BYTES = 1 << 20
# Create re-reads and on generation B rewrites the whole file without a word in between; a load reads it from disk.
CREATE_TIMEOUT_S, LOAD_TIMEOUT_S, UPLOAD_TIMEOUT_S = 1800.0, 600.0, 300.0
FROM = re.compile(r"^(FROM|ADAPTER) .*sha256[-:]([0-9a-f]{64})", re.MULTILINE)
LONGEST_CREATE_S, SLOWEST_UPLOAD_BYTES_S = 2 * 3600.0, 64 * 1024
PROBE_NAME = "deploy.invalid/retune/probe"
# What ends by itself under this schema must fit it; every tokenizer can write it in a few tokens.
PROOF_SCHEMA = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}
LONGEST_TOKEN = 200  # characters; the longest of large vocabularies are runs of 128 blanks
PROOF = ({"role": "user", "content": "Is it ok?"},)


class BlobDamaged(HostRefused):
    """What arrived is not what was sent."""


class OllamaHost(Calls):
    def probe(self) -> HostFacts:
        started = time.monotonic()
        version = str(self._ask("GET", "/api/version").get("version", ""))
        if not version:
            raise self._not_a_host()
        latency_ms = (time.monotonic() - started) * 1000
        generation = generation_of(version) or self._probed_generation()
        return HostFacts(version, generation, self.resident(), latency_ms)

    def _probed_generation(self) -> Generation:
        """A source build says 0.0.0: tell its generation by two requests that change nothing.

        A names an unknown model as it was asked for, B and C with `:latest`; C refuses adapters before anything else.
        """
        shown = self._send("POST", "/api/show", {"model": PROBE_NAME})
        if ":latest" not in error_of(shown):
            return Generation.A
        digest = "sha256:" + "0" * 64
        refused = self._send("POST", "/api/create", {"model": PROBE_NAME, "adapters": {"a.gguf": digest}})
        return Generation.C if "adapters" in error_of(refused) else Generation.B

    def has_blob(self, digest: str) -> bool:
        response = self._send("HEAD", f"/api/blobs/{digest}")
        if response.status_code in (200, 404):
            return response.status_code == 200
        raise self._refusal(response, "asking for a blob")

    def push_blob(self, path: Path, digest: str, on_progress: Progress | None = None) -> int:
        if self.has_blob(digest):
            return 0
        try:
            return self._send_blob(path, digest, on_progress)
        except BlobDamaged:
            # The file was whole when it left: seen once in a while on big files, so it is sent once more.
            return self._send_blob(path, digest, on_progress)

    def _send_blob(self, path: Path, digest: str, on_progress: Progress | None) -> int:
        size = path.stat().st_size
        try:
            response = self._upload(path, digest, size, on_progress)
        except HostDown:
            # The status may have been lost with the connection: what counts is whether the blob is there.
            if self.has_blob(digest):
                return size
            raise
        if response.status_code == 400 and "digest mismatch" in error_of(response):
            raise BlobDamaged(
                f"{self.url} received other bytes than were sent ({error_of(response)[:40]}): check its memory and disk"
            )
        if response.status_code not in (200, 201):
            raise self._refusal(response, "uploading")
        if not self.has_blob(digest):
            raise HostDown(f"{self.url} took the upload but does not have it: it will be sent again")
        return size

    def _upload(self, path: Path, digest: str, size: int, on_progress: Progress | None) -> httpx2.Response:
        headers = {"Content-Length": str(size), "Content-Type": "application/octet-stream"}
        patience = self._patience(UPLOAD_TIMEOUT_S, UPLOAD_TIMEOUT_S + size / SLOWEST_UPLOAD_BYTES_S)
        request = self.client.build_request(
            "POST", f"/api/blobs/{digest}", content=_chunks(path, size, on_progress), headers=headers, **patience
        )
        return self._checked(request)

    def create(
        self,
        name: str,
        digest: str,
        parameters: Mapping[str, Any],
        template: str | None = None,
        system: str | None = None,
        adapter: str = "",
    ) -> Created:
        body: dict[str, Any] = {"model": name, "files": {"model.gguf": digest}, "parameters": dict(parameters)}
        body |= {key: value for key, value in (("template", template), ("system", system)) if value}
        # An empty field is not the same as none: it is refused.
        body |= {"adapters": {"adapter.gguf": adapter}} if adapter else {}
        loaded = self.resident()
        try:
            self._stream_create(body)
        except HostDown as broken:
            return self._after_broken_create(name, broken, loaded)
        return self._created(name) or self._lost(name)

    def _stream_create(self, body: dict[str, Any]) -> None:
        patience = self._patience(CREATE_TIMEOUT_S, LONGEST_CREATE_S)
        last: dict[str, Any] = {}
        try:
            with self.client.stream("POST", "/api/create", json=body, **patience) as response:
                if response.status_code != 200:
                    response.read()
                    raise self._refusal(response, "creating the model")
                for line in response.iter_lines():
                    last = _status(line) if line.strip() else last
                    if "error" in last:
                        raise self._create_refusal(str(last["error"]))
        except httpx2.HTTPError as fault:
            raise HostDown(f"{self.url} broke off while it created the model ({reason_of(fault)})") from fault
        except OutboundRefused as refused:
            raise HostRefused(str(refused)) from refused
        if last.get("status") != "success":
            raise HostDown(f"{self.url} ended the creation without a success; its last word was {last or 'nothing'}")

    def _create_refusal(self, text: str) -> HostRefused:
        if NO_SPACE.search(text):
            return HostRefused(f"{self.url} has no space left: free at least three times the model's size on it")
        return HostRefused(f"{self.url} refused to create the model: {text}")

    def _after_broken_create(self, name: str, broken: HostDown, loaded: tuple[str, ...]) -> Created:
        """The outcome is unknown: a version tag is written once, so its presence tells. Nothing is sent again here.

        A host that still has what was `loaded` has lived on, so the same may be tried later. One that has not, or of
        which nothing can be said, may have ended on this very file.
        """
        look = "look at its log before trying again"
        try:
            self._ask("GET", "/api/version")
            if created := self._created(name):
                return created
            has_lived_on = bool(loaded) and set(loaded) <= set(self.resident())
        except HostDown:
            raise HostLost(f"{broken}; it no longer answers: {look}") from broken
        if has_lived_on:
            raise broken
        raise HostLost(f"{broken}; it answers, but without the model, and may have ended meanwhile: {look}")

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
        return tuple(Tag(row["name"], row["digest"], row.get("size", 0)) for row in self._rows("/api/tags"))

    def resident(self) -> tuple[str, ...]:
        return tuple(row["digest"] for row in self._rows("/api/ps"))

    def loaded(self) -> tuple[Loaded, ...]:
        return tuple(
            Loaded(str(row["name"]), str(row["digest"]), int(row.get("size", 0)), int(row.get("size_vram", 0)),
                   str(row.get("expires_at", "")))
            for row in self._rows("/api/ps")
        )  # fmt: skip

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

    def chat(
        self,
        name: str,
        messages: Messages,
        options: Mapping[str, Any] | None = None,
        schema: Mapping[str, Any] | None = None,
    ) -> Answer:
        said = [dict(m) for m in messages]
        body: dict[str, Any] = {"model": name, "messages": said, "options": dict(options or {}), "stream": False}
        body |= {"format": dict(schema)} if schema else {}
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

    def prove(self, name: str) -> Mapping[str, bool]:
        """An answer that ended by itself under a schema fits it, one of one token ends there, and /v1 answers."""
        formed = self.chat(name, PROOF, {"temperature": 0, "num_predict": 64}, PROOF_SCHEMA)
        short = self.chat(name, PROOF, {"temperature": 0, "num_predict": 1})
        body = {"model": name, "messages": list(PROOF), "max_tokens": 1, "temperature": 0}
        said = self._send("POST", "/v1/chat/completions", body, LOAD_TIMEOUT_S)
        return {
            "schema": formed.done_reason == "length" or _is_object(formed.text),
            "length": len(short.text) < LONGEST_TOKEN,
            "openai": said.status_code == 200 and '"choices"' in said.text,
        }


def _chunks(path: Path, size: int, on_progress: Progress | None) -> Iterator[bytes]:
    """One reused megabyte at a time: memory stays flat whatever the size."""
    sent = 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk
            sent += len(chunk)
            if on_progress:
                on_progress(sent, size)


def _status(line: str) -> dict[str, Any]:
    """A line of a create's stream. What is none says nothing about the outcome, so it counts as a broken connection."""
    try:
        found = json.loads(line)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise HostDown("The host answered the creation with something that is no status")
    return found


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


def _parameters(text: str) -> tuple[tuple[str, str], ...]:
    """Lines of `name   value`; quoted values are JSON strings."""
    rows = [line.split(None, 1) for line in text.splitlines() if line.strip()]
    return tuple((name, json.loads(value) if value.startswith('"') else value.strip()) for name, value in rows)
