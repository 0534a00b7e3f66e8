"""The two programs of other machines, each packed into one file of this installation's own code, and offered to them.

What stands in a file is the protocol and the very code that runs here. What that code imports is the machine's:
`python3 FILE requirements` lists it.
"""

from __future__ import annotations

import hashlib
import io
import re
import tomllib
import zipfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Kind:
    """`main`: the module whose `main` it runs; `needed`: pinned packages; `extra`: all of that group too."""

    name: str
    main: str
    packages: tuple[str, ...]
    single: tuple[str, ...]
    needed: tuple[str, ...]
    extra: str = ""

    @property
    def folder(self) -> str:
        return self.main.rpartition(".")[0].replace(".", "/")


AGENT = Kind(
    "retune-agent",
    "agency.agent.program",
    ("agency/agent", "agency/gateway", "pipelines/domain", "pipelines/metrics", "pipelines/outbound", "tenants/crypto"),
    (
        "agency/__init__.py", "agency/env.py", "pipelines/__init__.py", "tenants/__init__.py",
        *(f"pipelines/worker/{name}.py" for name in ("__init__", "kept", "link", "place", "protocol", "updating")),
    ),
    (
        "aiohttp", "cryptography", "django", "google-re2", "httptools", "httpx2", "jsonschema-rs", "numpy", "orjson",
        "uvicorn",
    ),
)  # fmt: skip
WORKER = Kind(
    "retune-worker",
    "pipelines.worker.program",
    tuple(
        f"pipelines/{name}"
        for name in ("bundles", "domain", "hosts", "metrics", "outbound", "trainers", "work", "worker")
    ),
    ("pipelines/__init__.py", "pipelines/tars.py"),
    ("google-re2", "httpx2", "jinja2", "jsonschema-rs", "llama-cpp-python", "numpy", "rouge-score", "sacrebleu"),
    extra="train",
)


@dataclass(frozen=True)
class Offer:
    """What headquarters has of a program; one that runs another file is not the one that belongs to it."""

    version: str
    digest: str
    body: bytes

    def told(self) -> dict[str, Any]:
        return {"version": self.version, "digest": self.digest, "size_bytes": len(self.body)}


@cache
def offered(kind: Kind) -> Offer:
    body = packed(kind)
    return Offer(project()["version"], hashlib.sha256(body).hexdigest(), body)


def packed(kind: Kind) -> bytes:
    """The same sources give the same file."""
    out = io.BytesIO()
    out.write(b"#!/usr/bin/env python3\n")
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in files(kind):
            archive.writestr(zipfile.ZipInfo(name, EPOCH), body, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def pack(out: Path, kind: Kind) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    draft = out.with_name(f".{out.name}.part")
    draft.write_bytes(packed(kind))
    draft.chmod(0o755)
    draft.replace(out)


def files(kind: Kind) -> Iterator[tuple[str, bytes]]:
    """Name in the archive and content."""
    yield "__main__.py", f"import sys\nfrom {kind.main} import main\nsys.exit(main(sys.argv[1:]))\n".encode()
    yield f"{kind.folder}/requirements.txt", requirements(kind).encode()
    yield f"{kind.folder}/version.txt", f"{project()['version']}\n".encode()
    for name in kind.single:
        yield name, (ROOT / name).read_bytes()
    for package in kind.packages:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield str(path.relative_to(ROOT)), path.read_bytes()


def requirements(kind: Kind) -> str:
    extra = project()["optional-dependencies"][kind.extra] if kind.extra else []
    return "".join(f"{line}\n" for line in sorted([*_pinned(kind.needed), *extra]))


def _pinned(names: Collection[str]) -> list[str]:
    """As this installation is, so that a machine computes what a worker here would."""
    return [line for line in project()["dependencies"] if re.split(r"[\[=]", line)[0] in names]


def project() -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return found
