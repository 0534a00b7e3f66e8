"""`python -m tools.sbom FILE`: the bill of materials of what runs (CycloneDX 1.6, JSON).

Every package that the product needs with its version, licence and what it requires in its turn, and the vendored files
with their digests. Made from the pins and from what is installed, without a network; the same pins give the same bytes,
so that two can be compared. Checked by the schema of CycloneDX before it is written.
"""

from __future__ import annotations

import json
import sys
import tomllib
import uuid
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

from tools import dependencies

VERSION = SchemaVersion.V1_6
VENDOR = dependencies.ROOT / "static" / "vendor"


def packages(pins: dict[str, str], names: dict[str, set[str]]) -> Iterator[Component]:
    """A component of each name. Raises `KeyError` of one that is not pinned: tools/dependencies.py says so in words."""
    licences = LicenseFactory()
    for name in sorted(names):
        said = dependencies.licence_of(metadata.distribution(name))
        yield Component(
            name=name,
            version=pins[name],
            purl=PackageURL("pypi", None, name, pins[name]),
            licenses=[licences.make_from_string(said)],
            bom_ref=f"{name}=={pins[name]}",
        )


def vendored() -> Iterator[Component]:
    """What lies in static/vendor as NAME-VERSION, by the digests that a test holds it to."""
    listed = [line.split(maxsplit=1) for line in (VENDOR / "SHA256SUMS").read_text().splitlines() if line]
    for folder in sorted(path for path in VENDOR.iterdir() if path.is_dir()):
        name, _, version = folder.name.rpartition("-")
        yield Component(
            name=name,
            version=version,
            type=ComponentType.FRAMEWORK,
            purl=PackageURL("generic", None, name, version),
            bom_ref=folder.name,
            components=[
                Component(
                    name=Path(path).name,
                    type=ComponentType.FILE,
                    hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest)],
                    bom_ref=path.removeprefix("./"),
                )
                for digest, path in listed
                if path.removeprefix("./").startswith(f"{folder.name}/")
            ],
        )


def bill() -> Bom:
    pins, graph = dependencies.all_pins(), dependencies.graph(dependencies.product())
    parts = {component.name: component for component in packages(pins, graph)}
    project = tomllib.loads((dependencies.ROOT / "pyproject.toml").read_text())["project"]
    name, version = project["name"], project["version"]
    whole = Component(name=name, version=version, type=ComponentType.APPLICATION, bom_ref=name)
    whole.licenses.add(LicenseFactory().make_from_string(project["license"]))
    bom = Bom(components=[*parts.values(), *vendored()])
    bom.metadata.component = whole
    direct = {dependencies.canonical(line.partition("==")[0].partition("[")[0]) for line in dependencies.product()}
    bom.register_dependency(whole, [parts[name] for name in sorted(direct)])
    for package, required in graph.items():
        bom.register_dependency(parts[package], [parts[one] for one in sorted(required)])
    # A time and a random number would make two of the same pins differ.
    bom.metadata.timestamp = None  # type: ignore[assignment]
    bom.serial_number = uuid.uuid5(uuid.NAMESPACE_URL, " ".join(sorted(str(part.purl) for part in bom.components)))
    return bom


def text() -> str:
    """The bill as JSON. Raises `ValueError` where the schema of CycloneDX refuses it."""
    written = make_outputter(bill(), OutputFormat.JSON, VERSION).output_as_string(indent=2)
    if (wrong := JsonStrictValidator(VERSION).validate_str(written)) is not None:
        raise ValueError(f"The bill of materials does not fit its schema: {wrong}")
    return written + "\n"


def main() -> int:
    path, written = Path(sys.argv[1]), text()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(written)
    print(f"{len(json.loads(written)['components'])} components in {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
