"""Prints the pinned requirements of one group of pyproject.toml, less those that the Makefile installs by itself."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

OWN_WAY = ("llama-cpp-python", "torch==")


def requirements(group: str) -> list[str]:
    """`base` is what running needs; the other names are the optional groups."""
    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]
    optional = project["optional-dependencies"]
    found = project["dependencies"] + optional["demo"] if group == "base" else optional[group]
    return [line for line in found if not line.startswith(OWN_WAY)]


if __name__ == "__main__":
    print("\n".join(requirements(sys.argv[1])))
