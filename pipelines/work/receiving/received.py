"""Work `received`: does a bundle that was taken fit its base, and is its chat template the base's?

spec: {base, taken, form ("adapter" | "merged" | "gguf"), scratch, processor_s?}.
result: {text, differs, diff}: the template to build with, whether it is another than the base's, and how, line by line.
Templates render sandboxed, within `processor_s` and MEMORY_BYTES of this process.
"""

from __future__ import annotations

import difflib
import re
import resource
import signal
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from pipelines.bundles.contents import read_json
from pipelines.bundles.safetensors import Shapes, check_safetensors
from pipelines.work.chat_template import GUARD, SAMPLES, render
from pipelines.work.gguf_header import check
from pipelines.work.report import Report, WorkError

PROCESSOR_S = 20
MEMORY_BYTES = 8 * 2**30
LONGEST_TEMPLATE = 65_536
LONGEST_PROMPT = 262_144
MOST_LINES = 400
SAME = ("model_type", "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads")
LORA_TENSOR = re.compile(r"base_model\.model\.(.+)\.lora_([AB])(?:\.default)?\.weight")


def run(spec: Mapping[str, Any], report: Report) -> dict[str, Any]:
    base, folder = Path(spec["base"]), Path(spec["taken"])
    config = read_json(base / "config.json")
    report.progress(0.2, "comparing with the base", force=True)
    match spec["form"]:
        case "gguf":
            theirs = _of_gguf(next(folder.glob("*.gguf")), config)
        case "merged":
            theirs = _of_merged(folder, config)
        case _:
            _refuse_other_adapter(folder, base)
            theirs = template_of(folder)
    ours = template_of(base) or ""
    text = ours if theirs is None else theirs.removesuffix(GUARD)
    report.progress(0.6, "rendering its chat template", force=True)
    _try_out(text, int(spec.get("processor_s", PROCESSOR_S)))
    return {"text": text, "differs": text != ours, "diff": _diff(ours, text)}


def _of_gguf(path: Path, config: Mapping[str, Any]) -> str | None:
    header = check(path)
    for key, ours in (("embedding_length", "hidden_size"), ("block_count", "num_hidden_layers")):
        _refuse_other(ours, header.metadata.get(f"{header.architecture}.{key}"), config)
    return header.chat_template or None


def _of_merged(folder: Path, config: Mapping[str, Any]) -> str | None:
    theirs = read_json(folder / "config.json")
    for key in SAME:
        _refuse_other(key, theirs.get(key), config)
    return template_of(folder)


def _refuse_other(key: str, theirs: Any, config: Mapping[str, Any]) -> None:
    if theirs != config.get(key):
        raise WorkError(
            f"It was not trained on this base: {key} is {theirs!r}, the base has {config.get(key)!r}. Choose its own "
            "base in the settings first.",
            permanent=True,
        )


def _refuse_other_adapter(folder: Path, base: Path) -> None:
    """Each tensor must lie on a weight of the base: peft leaves out what does not, without a word."""
    weights: Shapes = {}
    for path in base.glob("*.safetensors"):
        weights |= check_safetensors(path)
    for name, shape in check_safetensors(folder / "adapter_model.safetensors").items():
        found = LORA_TENSOR.fullmatch(name)
        on = weights.get(f"{found[1]}.weight") if found else None
        side = -1 if found and found[2] == "A" else 0
        if on is None or len(shape) != 2 or shape[side] != on[side]:
            raise WorkError(
                f"The adapter's tensor {name[:120]} fits no weight of this base. Choose its own base in the settings.",
                permanent=True,
            )


def template_of(folder: Path) -> str | None:
    """The chat template that loaders would take from the folder; None without one."""
    if (path := folder / "chat_template.jinja").is_file():
        return _sane(path.read_text(encoding="utf-8"))
    for name in ("chat_template.json", "tokenizer_config.json"):
        found = read_json(folder / name).get("chat_template") if (folder / name).is_file() else None
        if found is not None:
            return _sane(found)
    return None


def _sane(found: Any) -> str:
    if not isinstance(found, str) or len(found.encode()) > LONGEST_TEMPLATE:
        raise WorkError(f"The chat template is not one text of at most {LONGEST_TEMPLATE} bytes.", permanent=True)
    return found


def _try_out(template: str, processor_s: int) -> None:
    """Renders the samples within limits: a template is a program of somebody else's."""
    signal.signal(signal.SIGXCPU, _too_long)
    used = int(sum(resource.getrusage(resource.RUSAGE_SELF)[:2]))
    _lower(resource.RLIMIT_CPU, used + processor_s, used + processor_s + 5)
    _lower(resource.RLIMIT_AS, MEMORY_BYTES, MEMORY_BYTES)
    try:
        longest = max(len(render(template, messages)) for messages in SAMPLES)
    except (MemoryError, RecursionError, OverflowError, ValueError, TypeError) as fault:
        raise WorkError(f"The chat template does not render: {type(fault).__name__} {fault}", permanent=True) from fault
    if longest > LONGEST_PROMPT:
        raise WorkError(f"The chat template makes {longest} characters of a short question.", permanent=True)


def _too_long(number: int, frame: FrameType | None) -> None:
    raise WorkError("The chat template takes too long for a short question: it is not a template.", permanent=True)


def _lower(kind: int, soft: int, hard: int) -> None:
    most = resource.getrlimit(kind)[1]
    fitting = [value if most == resource.RLIM_INFINITY else min(value, most) for value in (soft, hard)]
    resource.setrlimit(kind, (fitting[0], fitting[1]))


def _diff(ours: str, theirs: str) -> list[str]:
    """Unified, cut behind each tag: a template is often a single line."""
    cut = [[part for part in re.split(r"(?<=[%}]})|\n", text) if part] for text in (ours, theirs)]
    return list(difflib.unified_diff(cut[0], cut[1], "base", "bundle", lineterm="", n=2))[:MOST_LINES]
