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


def needed(lines: list[str]) -> Iterator[metadata.Distribution]:
    """The distributions of these requirements and of all that they require here, each once."""
    seen, open_ends = set[tuple[str, frozenset[str]]](), [Requirement(line) for line in lines]
    told = set[str]()
    while open_ends:
        asked = open_ends.pop()
        key = (canonical(asked.name), frozenset(asked.extras))
        if key in seen:
            continue
        seen.add(key)
        found = metadata.distribution(asked.name)
        if key[0] not in told:
            told.add(key[0])
            yield found
        extras = asked.extras or {""}
        for more in map(Requirement, found.requires or ()):
            if more.marker is None or any(more.marker.evaluate({"extra": extra}) for extra in extras):
                open_ends.append(more)


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


def main() -> int:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    optional = project["optional-dependencies"]
    lines = project["dependencies"] + [line for group in GROUPS for line in optional[group]]
    # The Makefile installs two its own way; their pins stand in pyproject.toml.
    pinned = [*(ROOT / "constraints.txt").read_text().splitlines(), *lines]
    pins = {canonical(name): pin for name, _, pin in (line.partition("==") for line in pinned) if pin}
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
