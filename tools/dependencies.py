"""What the product stands on: every package that running it needs is the one that is pinned, under a licence that lets
an agency use it. `--table` prints which licence has which packages. Fails on what differs."""

from __future__ import annotations

import re
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
GROUPS = ("train", "demo", "otel")
# LGPL is no hindrance to whoever imports a library; these would reach further, or forbid a use.
FAR_REACHING = re.compile(
    r"(?<!L)\bA?GPL|(?<!Lesser )General Public|SSPL|BUSL|Commons Clause|Proprietary|Non-?Commercial", re.I
)
LOOKED_AT = {"qrcode": "BSD; the other line of its metadata stands for the name of QR codes, a trademark"}


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def graph(lines: list[str]) -> dict[str, set[str]]:
    """{package: what it requires here}, of these requirements and of all that they require in their turn."""
    seen, open_ends = set[tuple[str, frozenset[str]]](), [Requirement(line) for line in lines]
    found: dict[str, set[str]] = {}
    while open_ends:
        asked = open_ends.pop()
        key = (canonical(asked.name), frozenset(asked.extras))
        if key in seen:
            continue
        seen.add(key)
        extras = asked.extras or {""}
        required = map(Requirement, metadata.distribution(asked.name).requires or ())
        more = [one for one in required if one.marker is None or any(one.marker.evaluate({"extra": x}) for x in extras)]
        found.setdefault(key[0], set()).update(canonical(one.name) for one in more)
        open_ends += more
    return found


def needed(lines: list[str]) -> Iterator[metadata.Distribution]:
    """The distributions of these requirements and of all that they require here, each once."""
    return map(metadata.distribution, graph(lines))


def licence_of(found: metadata.Distribution) -> str:
    """As its metadata say it, the newest field first."""
    said = found.metadata
    if "License-Expression" in said:
        return said["License-Expression"]
    classifiers = [line.rpartition(" :: ")[2] for line in said.get_all("Classifier", []) if line.startswith("License")]
    return "; ".join(classifiers) or "".join(said.get_all("License", [])).partition("\n")[0]


def problems(found: metadata.Distribution, pins: dict[str, str]) -> Iterator[str]:
    name, licence = canonical(found.metadata["Name"]), licence_of(found)
    pin = pins.get(name)
    if pin is None:
        yield f"{name} {found.version} is not pinned: add it to constraints.txt."
    elif pin != found.version.partition("+")[0]:
        yield f"{name} is {found.version}, pinned is {pin}: install it anew, or move the pin."
    if not licence or (FAR_REACHING.search(licence) and name not in LOOKED_AT):
        yield f"{name} has the licence {licence or '(none told)'}: see whether an agency may use it."


def product() -> list[str]:
    """The requirements of what runs: pyproject.toml's own and its optional groups, less the tests'."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    optional = project["optional-dependencies"]
    return project["dependencies"] + [line for group in GROUPS for line in optional[group]]


def all_pins() -> dict[str, str]:
    """{package: version} of everything that set-up installs, the tests' packages too."""
    # The Makefile installs two its own way; their pins stand in pyproject.toml.
    lines = [*(ROOT / "constraints.txt").read_text().splitlines(), *product()]
    return {canonical(Requirement(line).name): line.partition("==")[2] for line in lines if "==" in line}


def main() -> int:
    lines, pins = product(), all_pins()
    by_licence, wrong = defaultdict[str, list[str]](list), list[str]()
    for found in needed(lines):
        by_licence[licence_of(found)].append(canonical(found.metadata["Name"]))
        wrong += problems(found, pins)
    if "--table" in sys.argv:
        print(*(f"{licence}: {', '.join(sorted(names))}" for licence, names in sorted(by_licence.items())), sep="\n")
    print(f"{sum(map(len, by_licence.values()))} packages under {len(by_licence)} licences", *sorted(wrong), sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
