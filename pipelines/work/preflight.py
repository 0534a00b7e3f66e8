"""Work `preflight`: all that can be known before a training spends an hour: template, tokenizer, converter, disk.

spec: {base, dataset?, recipe?, scratch, free_bytes_factor?}.
result: {architecture, weights_bytes, needed_bytes, free_bytes, template_digest, converter_digest,
rows_checked, parity}.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import AutoConfig

from pipelines.trainers import Recipe
from pipelines.trainers.marker import file_digest
from pipelines.trainers.rows import read_conversations, tokenise
from pipelines.work.chat_template import Messages
from pipelines.work.conversion import official
from pipelines.work.conversion.guarded_folder import link_base, write_guarded_template
from pipelines.work.conversion.parity import SAMPLES, Prompt, open_tokenizer, prompts
from pipelines.work.gguf_reader import Header, read_header
from pipelines.work.inference.vocabulary import open_vocabulary
from pipelines.work.report import Report, WorkError

ROWS_CHECKED = 32
# Merged in f32 (2x the bf16 weights), f16 GGUF (1x), quantised (0.3x), temporary copy (1x), adapter and checkpoints.
NEEDED_FOR_EACH_BYTE = 5.0
NEEDED_ANYWAY_BYTES = 64 * 2**20


def run(spec: Mapping[str, Any], report: Report) -> dict[str, Any]:
    base, scratch = Path(spec["base"]), Path(spec["scratch"])
    converter = official.script()
    disk = _check_disk(base, scratch, spec.get("free_bytes_factor", NEEDED_FOR_EACH_BYTE))
    report.progress(0.1, "base model, tokenizer and template", force=True)
    config = _config(base)
    tokenizer = open_tokenizer(base)
    samples = _samples(spec.get("dataset"), tokenizer, Recipe.parse(spec.get("recipe", {})))
    parity = prompts(tokenizer, [*SAMPLES, *samples])
    report.progress(0.4, "converter", force=True)
    header = _convert_vocabulary(base, tokenizer.chat_template, scratch, parity)
    return {
        "architecture": config.architectures[0] if config.architectures else config.model_type,
        "template_digest": header.template_digest,
        "converter_digest": file_digest(converter),
        "rows_checked": len(samples),
        "parity": [prompt.as_dict() for prompt in parity[: len(SAMPLES)]],
        **disk,
    }


def _check_disk(base: Path, scratch: Path, factor: float) -> dict[str, int]:
    weights = sum(path.stat().st_size for path in base.glob("*.safetensors"))
    if not weights:
        raise WorkError(f"{base.name} holds no safetensors weights.", permanent=True)
    needed = round(weights * factor) + NEEDED_ANYWAY_BYTES
    scratch.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(scratch).free
    if free < needed:
        raise WorkError(f"This run needs {needed / 1e9:.1f} GB of disk, {free / 1e9:.1f} GB are free.", permanent=False)
    return {"weights_bytes": weights, "needed_bytes": needed, "free_bytes": free}


def _config(base: Path) -> Any:
    try:
        return AutoConfig.from_pretrained(base, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as problem:
        raise WorkError(f"The base model's configuration does not load: {problem}", permanent=True) from problem


def _samples(dataset: str | None, tokenizer: Any, recipe: Recipe) -> Sequence[Messages]:
    """Prompts of the first rows, which must render and fit the token limit."""
    if dataset is None:
        return []
    rows = list(itertools.islice(read_conversations(Path(dataset)), ROWS_CHECKED))
    tokenise(tokenizer, rows, recipe.max_tokens)
    return [row[:-1] for row in rows]


def _check_vocabulary_file(path: Path, template: str, parity: Sequence[Prompt]) -> Header:
    header = read_header(path)
    if header.chat_template != template:
        raise WorkError("The converter does not carry the guarded chat template into the file.", permanent=True)
    with open_vocabulary(path, header) as vocabulary:
        for prompt in parity:
            if vocabulary.tokenise(prompt.text) != list(prompt.ids):
                raise WorkError(f"The converted tokenizer splits {prompt.text[:60]!r} differently.", permanent=True)
    return header


def _convert_vocabulary(base: Path, template: str, scratch: Path, parity: Sequence[Prompt]) -> Header:
    """Convert the vocabulary alone: seconds, and it asks the converter all that it could later refuse."""
    folder, out = scratch / "vocabulary", scratch / "vocabulary.gguf"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    link_base(base, folder)
    written = write_guarded_template(template, folder)
    official.convert(folder, out, vocab_only=True)
    return _check_vocabulary_file(out, written, parity)
