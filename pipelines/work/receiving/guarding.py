"""Work `guard`: a GGUF that was made elsewhere gets the guarded chat template; all else of it stays, byte for byte.

spec: {gguf, base, template, out, scratch, prompts?}.
result: as of `convert`; `parity` holds prompts by the base's tokenizer, which the file must split alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.trainers.marker import file_digest
from pipelines.work.chat_template import guarded
from pipelines.work.conversion.parity import SAMPLES, open_tokenizer, prompts
from pipelines.work.gguf_header import check
from pipelines.work.report import Report

TEMPLATE_KEY = "tokenizer.chat_template"
# What can still be quantised; a GGUF that was brought may be quantised already, and is shipped as it is.
SOURCES = ("F32", "F16", "BF16")
OWN_KEYS = ("GGUF.version", "GGUF.tensor_count", "GGUF.kv_count", "general.architecture", TEMPLATE_KEY)


def run(spec: Mapping[str, Any], report: Report) -> dict[str, Any]:
    source, out, template = Path(spec["gguf"]), Path(spec["out"]), guarded(spec["template"])
    before = check(source)
    tokenizer = open_tokenizer(Path(spec["base"]), spec["template"])
    parity = prompts(tokenizer, [*SAMPLES, *spec.get("prompts", [])])
    report.progress(0.3, "writing its template", force=True)
    temporary = out.with_name(f".{out.name}.part")
    _rewrite(source, temporary, before.architecture, template)
    header = check(temporary)
    temporary.replace(out)
    return {
        "gguf": str(out),
        "digest": file_digest(out),
        "size_bytes": header.file_bytes,
        "file_type": header.file_type,
        "is_final": header.file_type not in SOURCES,
        "architecture": header.architecture,
        "parameter_count": header.parameter_count,
        "template_digest": header.template_digest,
        "converter_digest": "",
        "parity": [prompt.as_dict() for prompt in parity],
    }


def _rewrite(source: Path, out: Path, architecture: str, template: str) -> None:
    from gguf import GGUFReader, GGUFValueType, GGUFWriter

    reader, writer = GGUFReader(source), GGUFWriter(out, architecture)
    for key, field in reader.fields.items():
        if key not in OWN_KEYS:
            inner = field.types[-1] if field.types[0] == GGUFValueType.ARRAY else None
            writer.add_key_value(key, field.contents(), field.types[0], inner)
    writer.add_chat_template(template)
    for tensor in reader.tensors:
        data = tensor.data
        writer.add_tensor_info(tensor.name, data.shape, data.dtype, data.nbytes, tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for tensor in reader.tensors:
        writer.write_tensor_data(tensor.data)
    writer.close()
