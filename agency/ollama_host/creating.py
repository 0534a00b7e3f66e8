"""POST /api/create: checks in a real host's order, then a stream of statuses that ends in success or an error."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any

from agency.ollama_host import rewriting
from agency.ollama_host.host import Host
from agency.ollama_host.runner import gotemplate, known_templates
from agency.ollama_host.store import names
from agency.ollama_host.store.disk import Layer, is_digest, layer_status
from agency.ollama_host.store.gguf import Generation, Header, human_count, read
from agency.ollama_host.wire import NDJSON, PLAIN_JSON, Refused, Reply, Request, Stream, as_json, disk_fault, encode

Status = dict[str, Any]


def refuse(status: int, text: str) -> Refused:
    return Refused(status, text, PLAIN_JSON)


@dataclass(slots=True)
class Draft:
    """A model while it is being put together."""

    host: Host
    document: dict[str, Any]
    layers: list[Layer] = field(default_factory=list)
    parameters: dict[str, Any] = field(default_factory=dict)
    headers: list[Header] = field(default_factory=list)

    def drop(self, kind: str) -> None:
        self.layers = [layer for layer in self.layers if layer.kind != kind]

    def put(self, kind: str, data: bytes, status: str = "") -> None:
        self.drop(kind)
        layer = self.host.store.add_bytes(data, kind)
        self.layers.append(replace(layer, status=status) if status else layer)


async def create(host: Host, request: Request) -> Reply | Stream:
    document = request.document()
    name = _checked(host, document)
    statuses = _create(host, name, document)
    if document.get("stream") is not False:
        return Stream(_lines(statuses), NDJSON)
    last = [status async for status in statuses][-1]
    return as_json(last, content_type=PLAIN_JSON)


async def _lines(statuses: AsyncIterator[Status]) -> AsyncGenerator[bytes]:
    """Once a line is out the status is 200 for good: a later refusal becomes a last line with `error`."""
    is_first = True
    try:
        async for status in statuses:
            yield encode(status) + b"\n"
            is_first = False
    except (Refused, OSError) as fault:
        if is_first:
            raise
        refused = fault if isinstance(fault, Refused) else disk_fault(fault)
        yield encode(refused.document) + b"\n"


def _checked(host: Host, document: dict[str, Any]) -> names.Name:
    for field_name in ("files", "adapters"):
        for path, digest in (document.get(field_name) or {}).items():
            _check_file(host, path, digest)
    if host.generation is Generation.C:
        _check_c(document)
    name = names.parse(document.get("model") or document.get("name") or "")
    if name is None:
        raise Refused(400, "invalid model name")
    return name


def _check_file(host: Host, path: str, digest: str) -> None:
    if not digest or (host.generation is Generation.C and not is_digest(digest)):
        raise Refused(400, "invalid digest format")
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\\" in path:
        raise Refused(400, "file path must be relative")


def _check_c(document: dict[str, Any]) -> None:
    if document.get("adapters"):
        raise Refused(400, "LoRA adapters are no longer supported")
    if document.get("quantize"):
        raise Refused(400, "quantizing GGUF models is no longer supported; quantize the model before creating it")


async def _create(host: Host, name: names.Name, document: dict[str, Any]) -> AsyncIterator[Status]:
    draft = Draft(host, document)
    layers = _from(draft) if document.get("from") else _files(draft, document.get("files"))
    for statuses in (layers, _adapters(draft)):
        async for status in statuses:
            yield status
    _detect_template(draft)
    _own_layers(draft)
    for layer in draft.layers:
        yield {"status": layer.status}
    yield {"status": "writing manifest"}
    host.store.write(name, _config(draft), tuple(draft.layers))
    yield {"status": "success"}


async def _from(draft: Draft) -> AsyncIterator[Status]:
    """Inherit every layer of another model. A missing one would be pulled by a real host; here it is refused."""
    base = draft.host.find(draft.document["from"])
    if base is None:
        yield {"status": "pulling manifest"}
        raise refuse(500, "pull model manifest: file does not exist")
    store = draft.host.store
    for layer in base.layers:
        origin = base.name.short if layer.kind == "model" else ""
        draft.layers.append(store.existing(layer.kind, layer.digest, origin))
    draft.parameters = json.loads(store.read(base.last("params")) or b"{}")
    draft.headers = [_header(draft, layer.digest) for layer in base.layers if layer.kind in ("model", "adapter")]


async def _files(draft: Draft, files: dict[str, str] | None) -> AsyncIterator[Status]:
    if files is None:
        raise refuse(400, "neither 'from' or 'files' was specified")
    if not any(_is_gguf(draft.host, path, digest) for path, digest in files.items()):
        raise refuse(400, "unknown type")
    for _path, digest in sorted(files.items()):
        yield {"status": "parsing GGUF"}
        header = await asyncio.to_thread(_header, draft, digest)
        draft.headers.append(header)
        async for status in _model_layer(draft, digest, header):
            yield status


def _is_gguf(host: Host, path: str, digest: str) -> bool:
    if path.endswith(".gguf"):
        return True
    if not is_digest(digest) or not host.store.has(digest):
        return False
    with host.store.blob_path(digest).open("rb") as file:
        return file.read(4) == b"GGUF"


def _header(draft: Draft, digest: str) -> Header:
    if not is_digest(digest):
        raise refuse(500, "invalid digest format")
    path = draft.host.store.blob_path(digest)
    if not path.is_file():
        raise refuse(500, f"open {path.resolve()}: no such file or directory")
    return read(path, draft.host.generation)


async def _model_layer(draft: Draft, digest: str, header: Header) -> AsyncIterator[Status]:
    host, wanted = draft.host, str(draft.document.get("quantize") or "").upper()
    is_known = f"{wanted} {digest}" in host.rewritten
    if wanted:
        rewriting.check_quantise(header, wanted)
        if host.generation is Generation.A:
            async for status in rewriting.quantise_progress(host, digest, header, wanted):
                yield status
    is_rewritten = bool(wanted) or (host.generation is Generation.B and header.kind == "model")
    if is_rewritten:
        yield {"status": "verifying conversion"}
        digest = await rewriting.rewritten(host, digest, wanted or "COPY")
        draft.headers[-1] = _header(draft, digest)
    origin = "" if is_rewritten else str(host.store.blob_path(digest).resolve())
    layer = host.store.existing(header.kind, digest, origin)
    if wanted and not is_known and host.generation is Generation.A:
        layer = replace(layer, status=layer_status(digest, existed=False))
    draft.layers.append(layer)


async def _adapters(draft: Draft) -> AsyncIterator[Status]:
    adapters: dict[str, str] = draft.document.get("adapters") or {}
    if len(adapters) > 1:
        raise refuse(400, "only one adapter is currently supported")
    for digest in adapters.values():
        yield {"status": "parsing GGUF"}
        header = await asyncio.to_thread(_header, draft, digest)
        draft.headers.append(header)
        # As on real hosts nothing checks that this is an adapter: a model here becomes a second model layer.
        draft.layers.append(draft.host.store.existing(header.kind, digest))


def _detect_template(draft: Draft) -> None:
    """Put a known Go template in the place of a GGUF's Jinja that is fewer than 100 edits away from its own."""
    if draft.document.get("from") or not draft.headers:
        return
    if found := known_templates.detect(draft.headers[0].chat_template):
        draft.put("template", found.go.encode(), f"using autodetected template {found.name}")
        draft.parameters["stop"] = list(found.stops)


def _own_layers(draft: Draft) -> None:
    document = draft.document
    if template := document.get("template"):
        try:
            gotemplate.parse(template)
        except gotemplate.TemplateFault as fault:
            raise refuse(400, f"template error: {fault}") from None
        draft.put("template", template.encode())
    if system := document.get("system"):
        draft.put("system", system.encode())
    licences = document.get("license") or []
    for text in [licences] if isinstance(licences, str) else licences:
        draft.layers.append(draft.host.store.add_bytes(text.encode(), "license"))
    draft.parameters |= document.get("parameters") or {}
    if draft.parameters:
        draft.put("params", json.dumps(draft.parameters, separators=(",", ":")).encode())
    if messages := document.get("messages"):
        draft.put("messages", json.dumps(messages).encode())


def _config(draft: Draft) -> Layer:
    first = draft.headers[0]
    counts_adapters = draft.host.generation is Generation.A
    families = [header.architecture for header in draft.headers if counts_adapters or header.kind != "adapter"]
    document = {
        "model_format": "gguf",
        "model_family": first.architecture,
        "model_families": families,
        "model_type": human_count(first.parameters),
        "file_type": first.file_type,
        "architecture": "amd64",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [layer.digest for layer in draft.layers]},
    }
    return draft.host.store.add_bytes(json.dumps(document, separators=(",", ":")).encode(), "config")


async def copy(host: Host, request: Request) -> Reply:
    document = request.document()
    source, to = (document.get(side) or "" for side in ("source", "destination"))
    for side, text in (("source", source), ("destination", to)):
        if names.parse(text) is None:
            raise Refused(400, f'{side} "{text}" is invalid')
    manifest, name = host.find(source), names.parse(to)
    if manifest is None or name is None:
        raise Refused(404, f'model "{source}" not found')
    host.store.copy(manifest, name)
    return Reply()


async def delete(host: Host, request: Request) -> Reply:
    document = request.document()
    text = document.get("model") or document.get("name") or ""
    if not text:
        raise Refused(400, "model is required")
    if names.parse(text) is None:
        raise Refused(400, f'name "{text}" is invalid')
    manifest = host.find(text)
    if manifest is None:
        raise Refused(404, f"model '{text}' not found")
    host.store.delete(manifest)
    return Reply()
