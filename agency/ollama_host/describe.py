"""What the host says about its models: tags, show and ps."""

import json
from typing import Any

from agency.ollama_host.host import Host
from agency.ollama_host.runner.prompt import PLAIN
from agency.ollama_host.scheduler import Runner
from agency.ollama_host.store import names
from agency.ollama_host.store.disk import Manifest
from agency.ollama_host.store.gguf import Generation, Header
from agency.ollama_host.wire import Refused, Reply, Request, as_json, rfc3339

HIDDEN_KEYS = ("general.name", "tokenizer.chat_template")
LONGEST_SHOWN_ARRAY = 5


async def tags(host: Host, _request: Request) -> Reply:
    found = sorted(host.store.all(), key=lambda manifest: manifest.modified_at, reverse=True)
    return as_json({"models": [_tag(host, manifest) for manifest in found]})


def _tag(host: Host, manifest: Manifest) -> dict[str, Any]:
    shown = details(host, manifest)
    row: dict[str, Any] = {
        "name": manifest.name.short,
        "model": manifest.name.short,
        "modified_at": rfc3339(manifest.modified_at),
        "size": manifest.size_bytes,
        "digest": manifest.digest,
        "details": shown,
    }
    if host.generation is Generation.A:
        return row
    header = host.header(manifest)
    sizes = {name: header.of_architecture(name) or 0 for name in ("context_length", "embedding_length")}
    return row | {"details": shown | sizes, "capabilities": capabilities(host, manifest, header)}


def details(host: Host, manifest: Manifest) -> dict[str, Any]:
    config = json.loads(host.store.read(manifest.config))
    layer = manifest.last("model")
    return {
        "parent_model": layer.origin if layer and not layer.origin.startswith("/") else "",
        "format": config["model_format"],
        "family": config["model_family"],
        "families": config["model_families"],
        "parameter_size": config["model_type"],
        "quantization_level": config["file_type"],
    }


def capabilities(host: Host, manifest: Manifest, header: Header) -> list[str]:
    if header.of_architecture("pooling_type") is not None:
        return ["embedding"]
    template = selected_template(host, manifest, header)[1]
    uses_tools = ".Tools" in template or ("tools" in template and "{%" in template)
    return ["completion", *(["tools"] if uses_tools else [])]


def selected_template(host: Host, manifest: Manifest, header: Header) -> tuple[str | None, str]:
    """(Go template to render with, or None for the GGUF's Jinja; the text that show gives)."""
    layer = manifest.last("template")
    go = host.store.read(layer).decode() if layer else None
    jinja = header.chat_template
    if host.generation is Generation.A:
        return go or PLAIN, go or PLAIN
    shows_more = any(word in jinja for word in ("tools", "tool_call", "<think>")) and ".Tools" not in (go or "")
    if go is not None and not shows_more:
        return go, go
    return (None, jinja) if jinja else (go or PLAIN, go or PLAIN)


async def show(host: Host, request: Request) -> Reply:
    document = request.document()
    text = document.get("model") or document.get("name") or ""
    if not text:
        raise Refused(400, "model is required")
    name = names.parse(names.without_local(text))
    if name is None:
        raise Refused(400, "invalid model name")
    if name.is_cloud:
        raise Refused(403, "ollama cloud is disabled: remote model details are unavailable")
    manifest = host.store.find(name)
    if manifest is None:
        shown = names.without_local(text) if host.generation is Generation.A else name.short
        raise Refused(404, f"model '{shown}' not found")
    return as_json(_shown(host, manifest, bool(document.get("verbose"))))


def _shown(host: Host, manifest: Manifest, is_verbose: bool) -> dict[str, Any]:
    header = host.header(manifest)
    template = selected_template(host, manifest, header)[1]
    found = {
        "license": host.store.read(manifest.last("license")).decode(),
        "modelfile": _modelfile(host, manifest, template),
        "parameters": parameters_text(parameters(host, manifest)),
        "template": template,
        "system": system(host, manifest),
        "messages": json.loads(host.store.read(manifest.last("messages")) or b"[]"),
    }
    shown = details(host, manifest)
    if host.generation is Generation.A and (layer := manifest.last("model")):
        shown["parent_model"] = layer.origin
    return {name: value for name, value in found.items() if value} | {
        "details": shown,
        "model_info": _model_info(header, is_verbose),
        "tensors": [{"name": t.name, "type": t.type, "shape": list(t.shape)} for t in header.tensors],
        "capabilities": capabilities(host, manifest, header),
        "modified_at": rfc3339(manifest.modified_at),
    }


def _model_info(header: Header, is_verbose: bool) -> dict[str, Any]:
    keys = {name: value for name, value in header.keys.items() if name not in HIDDEN_KEYS}
    if not is_verbose:
        keys = {name: None if _is_long(value) else value for name, value in keys.items()}
    return dict(sorted((keys | {"general.parameter_count": header.parameters}).items()))


def _is_long(value: Any) -> bool:
    return isinstance(value, list) and len(value) > LONGEST_SHOWN_ARRAY


def system(host: Host, manifest: Manifest) -> str:
    return host.store.read(manifest.last("system")).decode()


def parameters(host: Host, manifest: Manifest) -> dict[str, Any]:
    return dict(json.loads(host.store.read(manifest.last("params")) or b"{}"))


def _flat(found: dict[str, Any]) -> list[tuple[str, Any]]:
    return [(name, v) for name, value in found.items() for v in (value if isinstance(value, list) else [value])]


def _go(value: Any) -> str:
    """A JSON value as Go's %v prints it: whole floats without a point."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def parameters_text(found: dict[str, Any]) -> str:
    return "\n".join(f"{name:<30} {json.dumps(v) if isinstance(v, str) else _go(v)}" for name, v in _flat(found))


def _modelfile(host: Host, manifest: Manifest, template: str) -> str:
    paths = {layer.kind: host.store.blob_path(layer.digest).resolve() for layer in manifest.layers}
    lines = [
        '# Modelfile generated by "ollama show"',
        "# To build a new Modelfile based on this, replace FROM with:",
        f"# FROM {manifest.name.short}\n",
        f"FROM {paths['model']}",
    ]
    if "adapter" in paths:
        lines.append(f"ADAPTER {paths['adapter']}")
    lines.append(f'TEMPLATE "{template}"')
    if text := system(host, manifest):
        lines.append(f"SYSTEM {text}")
    lines += [f"PARAMETER {name} {_go(value)}" for name, value in _flat(parameters(host, manifest))]
    return "\n".join(lines) + "\n"


async def ps(host: Host, _request: Request) -> Reply:
    rows = sorted(host.scheduler.resident(), key=lambda runner: runner.expires_at, reverse=True)
    return as_json({"models": [_resident(host, runner) for runner in rows]})


def _resident(host: Host, runner: Runner) -> dict[str, Any]:
    """A runner keeps the name and digest it was first loaded under: match rows by digest, never by name."""
    manifest = runner.want.manifest
    return {
        "name": manifest.name.short,
        "model": manifest.name.short,
        "size": runner.want.size_bytes,
        "digest": manifest.digest,
        "details": runner.want.details,
        "expires_at": rfc3339(runner.expires_at),
        "size_vram": 0,
        "context_length": runner.num_ctx,
    }
