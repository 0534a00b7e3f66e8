"""The child process's door: runs one kind of work on one spec file and turns whatever happens into a last line."""

from __future__ import annotations

import errno
import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any, TextIO

from pipelines.work import Report, load


def main(arguments: list[str]) -> int:
    report = Report(_private_stdout())
    try:
        kind, spec_path = arguments
        report.result(load(kind)(_read(Path(spec_path)), report))
    except Exception as problem:
        traceback.print_exc()
        report.error(_sentence(problem), permanent=getattr(problem, "permanent", False))
        return 1
    return 0


def _read(path: Path) -> dict[str, Any]:
    """The spec, with the secret that came by standard input."""
    spec: dict[str, Any] = json.loads(path.read_text())
    return {**spec, "secret": json.load(sys.stdin)} if spec.pop("has_secret", False) else spec


def _private_stdout() -> TextIO:
    """Keep the real stdout for JSON lines and send every stray print, native ones too, to the log on stderr."""
    lines = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return lines


def _sentence(problem: Exception) -> str:
    match problem:
        case _ if hasattr(problem, "permanent"):
            return str(problem)
        case OSError(errno=errno.ENOSPC):
            return "The disk is full. Free space where the scratch and output folders are, then try again."
        case _ if _is_out_of_memory(problem):
            return "Out of memory. Use a smaller batch size or token limit, or a machine with more memory."
        case _:
            return f"{type(problem).__name__}: {problem}"


def _is_out_of_memory(problem: Exception) -> bool:
    """torch has no one class for it: OutOfMemoryError on a GPU, a RuntimeError with this text on the CPU."""
    texts = ("can't allocate memory", "not enough memory", "out of memory")
    return isinstance(problem, MemoryError) or any(text in str(problem).lower() for text in texts)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
