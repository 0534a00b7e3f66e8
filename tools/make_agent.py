"""`python -m tools.make_agent OUT`: packs retune-agent into one file, which runs with the Python of any machine.

What stands in it is the gateway's own code and the protocol. What those import is the machine's: `python3 OUT
requirements` lists it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from tools.make_worker import ROOT, modules, pack, pinned, project

PACKAGES = (
    "agency/agent", "agency/gateway", "pipelines/domain", "pipelines/metrics", "pipelines/outbound", "tenants/crypto",
)  # fmt: skip
SINGLE = (
    "agency/__init__.py", "agency/env.py", "pipelines/__init__.py", "tenants/__init__.py",
    *(f"pipelines/worker/{name}.py" for name in ("__init__", "kept", "link", "place")),
)  # fmt: skip
NEEDED = (
    "aiohttp", "cryptography", "django", "google-re2", "httptools", "httpx2", "jsonschema-rs", "numpy", "orjson",
    "uvicorn",
)  # fmt: skip
MAIN = "import sys\nfrom agency.agent.program import main\nsys.exit(main(sys.argv[1:]))\n"


def files() -> Iterator[tuple[str, bytes]]:
    """Name in the archive and content; the same sources give the same file."""
    yield "__main__.py", MAIN.encode()
    yield "agency/agent/requirements.txt", requirements().encode()
    yield "agency/agent/version.txt", f"{project()['version']}\n".encode()
    for name in SINGLE:
        yield name, (ROOT / name).read_bytes()
    for package in PACKAGES:
        yield from modules(package)


def requirements() -> str:
    return "".join(f"{line}\n" for line in sorted(pinned(NEEDED)))


if __name__ == "__main__":
    pack(Path(sys.argv[1]), files())
    print(f"{sys.argv[1]}: {Path(sys.argv[1]).stat().st_size / 1000:.0f} kB")
