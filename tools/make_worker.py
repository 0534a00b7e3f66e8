"""`python -m tools.make_worker OUT`: packs retune-worker into one file, which runs with the Python of any machine.

What stands in it is the protocol (the standard library is enough) and the very code that workers here run. What that
code imports (torch, transformers, peft, llama-cpp-python) is the machine's: `python3 OUT requirements` lists it.
"""

from __future__ import annotations

import re
import sys
import tomllib
import zipfile
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("bundles", "domain", "hosts", "metrics", "outbound", "trainers", "work", "worker")
# What the work imports of the product's own packages, beside those of the trainer.
NEEDED = ("google-re2", "httpx2", "jinja2", "jsonschema-rs", "llama-cpp-python", "numpy", "rouge-score", "sacrebleu")
MAIN = "import sys\nfrom pipelines.worker.program import main\nsys.exit(main(sys.argv[1:]))\n"
EPOCH = (1980, 1, 1, 0, 0, 0)


Files = Iterable[tuple[str, bytes]]


def files() -> Iterator[tuple[str, bytes]]:
    """Name in the archive and content; the same sources give the same file."""
    yield "__main__.py", MAIN.encode()
    yield "pipelines/__init__.py", (ROOT / "pipelines" / "__init__.py").read_bytes()
    yield "pipelines/worker/requirements.txt", requirements().encode()
    for package in PACKAGES:
        yield from modules(f"pipelines/{package}")


def modules(folder: str) -> Iterator[tuple[str, bytes]]:
    for path in sorted((ROOT / folder).rglob("*.py")):
        yield str(path.relative_to(ROOT)), path.read_bytes()


def project() -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return found


def pinned(names: Collection[str]) -> list[str]:
    """As this installation is, so that a machine computes what a worker here would."""
    return [line for line in project()["dependencies"] if re.split(r"[\[=]", line)[0] in names]


def requirements() -> str:
    return "".join(f"{line}\n" for line in sorted([*pinned(NEEDED), *project()["optional-dependencies"]["train"]]))


def pack(out: Path, content: Files | None = None) -> None:
    """`content`: of another program than the worker."""
    out.parent.mkdir(parents=True, exist_ok=True)
    draft = out.with_name(f".{out.name}.part")
    with draft.open("wb") as file:
        file.write(b"#!/usr/bin/env python3\n")
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, body in content or files():
                archive.writestr(zipfile.ZipInfo(name, EPOCH), body, zipfile.ZIP_DEFLATED)
    draft.chmod(0o755)
    draft.replace(out)


if __name__ == "__main__":
    pack(Path(sys.argv[1]))
    print(f"{sys.argv[1]}: {Path(sys.argv[1]).stat().st_size / 1000:.0f} kB")
