"""A model folder for the converter: the weights' files, the tokenizer's files, and the guarded chat template."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from pipelines.work.chat_template import guarded
from pipelines.work.report import WorkError

# Every place from which a loader takes a template; one is written, the others would shadow it.
TEMPLATE_FILES = ("chat_template.jinja", "chat_template.json")
CONFIG = "tokenizer_config.json"
WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".gguf", ".safetensors.index.json", ".bin.index.json")


def link_base(base: Path, folder: Path) -> None:
    """Lay out `base` in `folder` by links (weights) and copies (the rest)."""
    for path in base.iterdir():
        if path.is_file() and path.name.endswith(WEIGHTS):
            (folder / path.name).symlink_to(path.resolve())
    copy_tokenizer(base, folder)


def copy_tokenizer(base: Path, folder: Path) -> None:
    """Copy all but the weights, as they are: a tokenizer saved again by a library is not always the same tokenizer."""
    for path in base.iterdir():
        wanted = path.is_file() and not path.name.endswith(WEIGHTS) and path.name not in TEMPLATE_FILES
        if wanted and not (folder / path.name).exists():
            shutil.copyfile(path, folder / path.name)


def write_guarded_template(template: str, folder: Path) -> str:
    """Give the folder the guarded template as its only one; returns it."""
    for name in TEMPLATE_FILES:
        (folder / name).unlink(missing_ok=True)
    path = folder / CONFIG
    if not path.is_file():
        raise WorkError(f"The base model has no {CONFIG}.", permanent=True)
    config = json.loads(path.read_text(encoding="utf-8"))
    config["chat_template"] = guarded(template)
    path.write_text(json.dumps(config, indent=1, ensure_ascii=False), encoding="utf-8")
    return guarded(template)
