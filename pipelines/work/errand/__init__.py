"""An errand: steps of heavy work over named inputs, written so that any machine can do it. No path of ours is in it.

In a step's spec `{"@in": NAME}` is the path of an input (`[NAME, FILE]`: of a file in it), `{"@out": NAME}` one for
what comes back, `{"@tmp": NAME}` one in between, and `{"@said": [STEP, KEY]}` what an earlier step answered. Whoever
runs it puts its own paths there.
Marks are mappings and never texts: what people write in a prompt stays what it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

InputKind = Literal["file", "folder", "base"]
Said = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Input:
    """`digest` of a file, or of the tar that a folder is kept as; a base is named and has many files."""

    kind: InputKind
    digest: str = ""
    name: str = ""


@dataclass(frozen=True)
class Step:
    """One child process. `span`: its part of the progress bar; `drops`: what is not needed after it."""

    kind: str
    spec: dict[str, Any]
    span: tuple[float, float] = (0.0, 1.0)
    drops: tuple[str, ...] = ()


@dataclass(frozen=True)
class Errand:
    """`outputs`: name -> whether it comes back as a file or as a folder; one that no step wrote stays away.

    `facts` stay with whoever gave the errand, for the moment when its results come.
    """

    inputs: dict[str, Input]
    steps: tuple[Step, ...]
    outputs: dict[str, Literal["file", "folder"]]
    facts: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> Errand:
        inputs = {name: Input(**value) for name, value in body["inputs"].items()}
        steps = tuple(
            Step(one["kind"], one["spec"], (one["span"][0], one["span"][1]), tuple(one["drops"]))
            for one in body["steps"]
        )
        return cls(inputs, steps, dict(body["outputs"]), dict(body.get("facts", {})))


@dataclass(frozen=True)
class Places:
    """Where the inputs lie, and the folders for what comes back and for what lies in between."""

    inputs: Mapping[str, Path]
    out: Path
    between: Path


@dataclass(frozen=True)
class Done:
    """What the steps said, and the folder with what they made."""

    said: Said
    out: Path


Run = Callable[[Step, dict[str, Any]], dict[str, Any]]


def carry_out(errand: Errand, places: Places, run: Run) -> Done:
    """Every step in order; `run(step, spec)` does one, with our paths in its spec."""
    places.out.mkdir(parents=True, exist_ok=True)
    places.between.mkdir(parents=True, exist_ok=True)
    said: Said = {}
    for step in errand.steps:
        said[step.kind] = run(step, _placed(step.spec, places, said))
        for name in step.drops:
            (places.between / name).unlink(missing_ok=True)
    return Done(said, places.out)


def _placed(value: Any, places: Places, said: Said) -> Any:
    match value:
        case {"@said": [step, key]}:
            return said[step][key]
        case {"@in": str(name)}:
            return str(places.inputs[name])
        case {"@in": [str(name), str(path)]}:
            return str(places.inputs[name] / path)
        case {"@out": str(name)}:
            return str(places.out / name)
        case {"@tmp": str(name)}:
            return str(places.between / name)
        case dict():
            return {name: _placed(one, places, said) for name, one in value.items()}
        case list() | tuple():
            return [_placed(one, places, said) for one in value]
        case _:
            return value
