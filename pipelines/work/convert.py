"""Work `convert`: merge the adapter into the base, guard the chat template, run the official converter.

spec: {base, adapter (null: the base alone), scratch, out, name?, dtype? ("f32" | "bf16"), outtype? ("f16"), prompts?,
template? (in the place of the base's), lora_out? (the adapter goes to a GGUF of its own there, and
the base stays as it is)}.
result: {gguf, digest, size_bytes, architecture, template_digest, converter_digest, parity, parameter_count};
`parity` goes to `verify`.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.trainers.marker import file_digest, require_marker
from pipelines.work.conversion import official
from pipelines.work.conversion.guarded_folder import copy_tokenizer, link_base, write_guarded_template
from pipelines.work.conversion.parity import SAMPLES, open_tokenizer, prompts
from pipelines.work.gguf_header import Header, check
from pipelines.work.report import Report, WorkError


def run(spec: Mapping[str, Any], report: Report) -> dict[str, Any]:
    base, out = Path(spec["base"]), Path(spec["out"])
    converter = official.script()
    folder = _empty(Path(spec["scratch"]) / "merged")
    report.progress(0.05, "checking the template", force=True)
    tokenizer = open_tokenizer(base, spec.get("template"))
    parity = prompts(tokenizer, [*SAMPLES, *spec.get("prompts", [])])
    report.progress(0.1, "merging", force=True)
    is_apart = bool(spec.get("lora_out"))
    _merge(base, None if is_apart else spec.get("adapter"), folder, spec.get("dtype", "f32"))
    template = write_guarded_template(tokenizer.chat_template, folder)
    report.progress(0.5, "converting to GGUF", force=True)
    header = _convert(folder, out, template, spec)
    shutil.rmtree(folder)
    if is_apart:
        report.progress(0.9, "converting the adapter", force=True)
        _convert_apart(base, Path(spec["adapter"]), Path(spec["lora_out"]))
    return {
        "gguf": str(out),
        "digest": file_digest(out),
        "size_bytes": header.file_bytes,
        "architecture": header.architecture,
        "parameter_count": header.parameter_count,
        "template_digest": header.template_digest,
        "converter_digest": file_digest(converter),
        "parity": [prompt.as_dict() for prompt in parity],
    }


def _empty(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _merge(base: Path, adapter: str | None, folder: Path, dtype: str) -> None:
    if adapter is None:
        link_base(base, folder)
        return
    require_marker(Path(adapter))
    _save_merged(base, Path(adapter), folder, dtype)
    copy_tokenizer(base, folder)


def _save_merged(base: Path, adapter: Path, folder: Path, dtype: str) -> None:
    # Imported on use: the conversion of a bare base needs neither.
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    kind = {"f32": torch.float32, "bf16": torch.bfloat16}[dtype]
    model = AutoModelForCausalLM.from_pretrained(base, dtype=kind, trust_remote_code=False)
    try:
        merged: Any = PeftModel.from_pretrained(model, adapter).merge_and_unload()
    except (ValueError, RuntimeError, KeyError) as problem:
        if "memory" in str(problem).lower():
            raise
        raise WorkError(f"The adapter does not fit the base model: {problem}", permanent=True) from problem
    merged.save_pretrained(folder)


def _convert_apart(base: Path, adapter: Path, out: Path) -> None:
    require_marker(adapter)
    official.convert_adapter(adapter, base, out)
    check(out, expect="adapter")


def _convert(folder: Path, out: Path, template: str, spec: Mapping[str, Any]) -> Header:
    temporary = out.with_name(f".{out.name}.part")
    official.convert(folder, temporary, outtype=spec.get("outtype", "f16"), name=spec.get("name", "model"))
    header = check(temporary)
    if header.chat_template != template:
        raise WorkError("The converter did not carry the guarded chat template into the file.", permanent=True)
    temporary.replace(out)
    return header
