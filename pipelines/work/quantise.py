"""Work `quantise`: a full-precision GGUF in, a smaller one out, in the canonical layout that hosts keep byte for byte.

spec: {source, out, type? ("Q4_K_M"), threads?, is_final? (it is quantised already: only its layout is made canonical)}.
result: {gguf, digest, size_bytes, file_type, tensor_types, architecture, parameter_count, template_digest}.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import llama_cpp

from pipelines.trainers.marker import file_digest
from pipelines.work.gguf_header import Header, check
from pipelines.work.gguf_reader import FILE_TYPES
from pipelines.work.inference.native_log import LOG
from pipelines.work.report import Report, WorkError

SOURCES = ("F32", "F16", "BF16")


def run(spec: Mapping[str, Any], report: Report) -> dict[str, Any]:
    source, out, name = Path(spec["source"]), Path(spec["out"]), spec.get("type", "Q4_K_M")
    before = check(source)
    if spec.get("is_final"):
        return facts(out, _quantise(source, out, _type_id(before.file_type), spec.get("threads", 0), copy=True))
    if before.file_type not in SOURCES:
        raise WorkError(
            f"{source.name} is {before.file_type}: only {', '.join(SOURCES)} can be quantised.", permanent=True
        )
    report.progress(0.1, f"quantising to {name}", force=True)
    header = _quantise(source, out, _type_id(name), spec.get("threads", 0))
    return facts(out, header)


def facts(path: Path, header: Header) -> dict[str, Any]:
    """What the version card keeps of a GGUF file."""
    return {
        "gguf": str(path),
        "digest": file_digest(path),
        "size_bytes": header.file_bytes,
        "file_type": header.file_type,
        "tensor_types": header.tensor_types,
        "architecture": header.architecture,
        "parameter_count": header.parameter_count,
        "template_digest": header.template_digest,
    }


def _type_id(name: str) -> int:
    known = {label: number for number, label in FILE_TYPES.items()}
    if name not in known:
        raise WorkError(f"There is no quantisation {name!r}. Known: {', '.join(known)}.", permanent=True)
    return known[name]


def _quantise(source: Path, out: Path, type_id: int, threads: int, *, copy: bool = False) -> Header:
    """Into a temporary file first: a refused quantisation leaves a partial file under the name it was given."""
    temporary = out.with_name(f".{out.name}.part")
    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype, params.nthread, params.only_copy = type_id, threads, copy
    LOG.install()
    status = llama_cpp.llama_model_quantize(str(source).encode(), str(temporary).encode(), ctypes.byref(params))
    if status != 0:
        temporary.unlink(missing_ok=True)
        raise WorkError(f"llama.cpp did not quantise {source.name}: {LOG.reason()}.", permanent=True)
    header = check(temporary)
    _sync(temporary)
    temporary.replace(out)
    return header


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
