"""Runs the official converter, which set-up unpacks from the very source that the runtime is built from."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from pipelines.bundles import refuse_code
from pipelines.work.report import WorkError

FOLDER_VARIABLE = "RETUNE_CONVERTER_DIR"
SCRIPT, ADAPTER_SCRIPT = "convert_hf_to_gguf.py", "convert_lora_to_gguf.py"
TAIL_LINES = 12

# What the converter says -> what a person can do about it.
KNOWN_REFUSALS: dict[str, str] = {
    "pre-tokenizer was not recognized": "The converter does not know the base's tokenizer: choose another base.",
    "is not supported": "The converter does not know the base's architecture: choose another base.",
}


def script() -> Path:
    """The converter's path; a permanent WorkError says how to get it."""
    folder = os.environ.get(FOLDER_VARIABLE, "")
    path = Path(folder) / SCRIPT
    if not folder or not path.is_file():
        raise WorkError(
            f"The GGUF converter is missing ({FOLDER_VARIABLE}={folder!r}): run `make setup`.", permanent=True
        )
    return path


def convert(folder: Path, out: Path, *, outtype: str = "f16", name: str = "model", vocab_only: bool = False) -> None:
    """Convert the model in `folder` to the GGUF file `out`; WorkError with the converter's last lines if it refuses."""
    refuse_code(folder)  # For some architectures it lets transformers run what lies in the folder.
    arguments = [str(folder), "--outfile", str(out), "--outtype", outtype, "--model-name", name]
    _run([*_confined(script()), *arguments, *(["--vocab-only"] if vocab_only else [])], out)


def convert_adapter(adapter: Path, base: Path, out: Path) -> None:
    """Convert a PEFT adapter, trained on the model in `base`, to the GGUF file `out`; refuses as `convert` does."""
    refuse_code(base)
    temporary = out.with_name(f".{out.name}.part")
    arguments = [str(adapter), "--base", str(base), "--outfile", str(temporary), "--outtype", "f16"]
    _run([*_confined(script().with_name(ADAPTER_SCRIPT)), *arguments], temporary)
    temporary.replace(out)


def _run(command: list[str], out: Path) -> None:
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False
    )
    print(done.stdout + done.stderr, file=sys.stderr)
    if done.returncode != 0 or not out.is_file():
        raise _refusal(done)


def _confined(path: Path) -> list[str]:
    """A command that runs the script so that it dies with this process."""
    terms = json.dumps({"parent": os.getpid(), "network": True, "open_files": None})
    return [sys.executable, "-m", "pipelines.work.child", terms, str(path)]


def _refusal(done: subprocess.CompletedProcess[str]) -> WorkError:
    output = done.stdout + done.stderr
    lines = "\n".join(output.strip().splitlines()[-TAIL_LINES:])
    for phrase, sentence in KNOWN_REFUSALS.items():
        if phrase in output:
            return WorkError(f"{sentence} It said:\n{lines}", permanent=True)
    # A converter that was killed (memory) may do better next time; one that answered will answer the same.
    return WorkError(f"The GGUF converter failed ({done.returncode}):\n{lines}", permanent=done.returncode > 0)
