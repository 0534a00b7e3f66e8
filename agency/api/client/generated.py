"""The text of `retune_client.py`: the base as it stands, a type for each schema, a method for each operation."""

from __future__ import annotations

import keyword
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agency.api.docs import METHODS

Json = dict[str, Any]
PLAIN = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}
UPLOAD = "application/x-ndjson"
FILE = "application/octet-stream"
WIDTH = 112


def client_text(document: Json, made_of: str) -> str:
    """A module that stands alone. `made_of` names the installation and its version."""
    base = Path(__file__).with_name("base.py").read_text()
    base = base.replace("from typing import Any\n", "from typing import Any, NotRequired, TypedDict, cast\n")
    schemas: Json = document["components"]["schemas"]
    types = "\n\n\n".join(_type(name, schema) for name, schema in schemas.items() if "properties" in schema)
    methods = "\n\n".join(_method(path, name, raw, schemas) for path, name, raw in _operations(document))
    head = 'class Retune(Door):\n    """One client of an agency, by one of its keys."""\n\n'
    return f"# Made by {made_of}; do not edit.\n{base}\n\n{types}\n\n\n{head}{methods}\n"


def _operations(document: Json) -> Iterator[tuple[str, str, Json]]:
    """Those that a key opens: machines have a program of their own."""
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item and item[method]["x-key-verbs"]:
                yield path, method, item[method]


def _type(name: str, schema: Json) -> str:
    needed = set(schema.get("required", ()))
    lines = [f"class {_clean(name)}(TypedDict):"]
    if about := schema.get("description"):
        lines += [_docstring(about, "    "), ""]
    for field, given in schema["properties"].items():
        kind = hint(given)
        lines.append(f"    {field}: {kind if field in needed else f'NotRequired[{kind}]'}")
    return "\n".join(lines)


def hint(schema: Json) -> str:
    """The Python type of a JSON schema, as the API's own document spells them."""
    if "$ref" in schema:
        return _clean(schema["$ref"].rpartition("/")[2])
    if "anyOf" in schema:
        return " | ".join(dict.fromkeys(hint(one) for one in schema["anyOf"]))
    match schema.get("type"):
        case "array":
            return f"list[{hint(schema.get('items', {}))}]"
        case "object":
            inner = schema.get("additionalProperties")
            return f"dict[str, {hint(inner)}]" if isinstance(inner, dict) else "dict[str, Any]"
        case str(plain):
            return PLAIN[plain]
    return "Any"


def _clean(name: str) -> str:
    return "".join(part for part in name.split("_") if part)


def _method(path: str, verb: str, raw: Json, schemas: Json) -> str:
    """Parts of the path by place, all else by name."""
    operation = _Operation(raw, schemas)
    parts = [f"{_safe(one['name'])}: {hint(one['schema'])}" for one in operation.of("path")]
    named = [f"{_safe(name)}: {kind}" for name, kind, is_needed in operation.named() if is_needed]
    named += [f"{_safe(name)}: {_or_none(kind)} = None" for name, kind, is_needed in operation.named() if not is_needed]
    if operation.is_upload:
        parts.append("rows: Iterable[Mapping[str, object]]")
        named = ["idempotency_key: str"]
    if operation.is_file:
        parts.append("file: io.BufferedIOBase")
    signature = ["self", *parts, *(["*", *named] if named else [])]
    address = re.sub(r"{(\w+)}", lambda found: f"{{_part({_safe(found[1])})}}", path)
    asked = [f'{"f" if parts else ""}"{address}"']
    if operation.is_upload:
        asked += ["rows", "idempotency_key"]
    elif operation.is_file:
        asked += ["file", *operation.packed()]
    else:
        asked = [f'"{verb.upper()}"', *asked, *operation.packed()]
    door = "_upload" if operation.is_upload else "_send_file" if operation.is_file else "_call"
    kind = operation.answer()
    lines = [
        _wrapped(f"    def {raw['operationId']}(", signature, f") -> {kind}:"),
        _docstring(operation.about(), "        "),
        _wrapped(f'        return cast("{kind}", self.{door}(', asked, "))"),
    ]
    return "\n".join(lines)


@dataclass(frozen=True)
class _Operation:
    raw: Json
    schemas: Json

    def of(self, place: str) -> list[Json]:
        return [one for one in self.raw.get("parameters", ()) if one["in"] == place]

    @property
    def content(self) -> Json:
        found: Json = self.raw.get("requestBody", {}).get("content", {})
        return found

    @property
    def is_upload(self) -> bool:
        return UPLOAD in self.content

    @property
    def is_file(self) -> bool:
        return FILE in self.content

    def fields(self) -> list[tuple[str, str, bool]]:
        """(name, type, whether it must be given) of a JSON body's own fields."""
        if "application/json" not in self.content:
            return []
        schema = self.schemas[self.content["application/json"]["schema"]["$ref"].rpartition("/")[2]]
        needed = set(schema.get("required", ()))
        return [(name, hint(given), name in needed) for name, given in schema["properties"].items()]

    def named(self) -> list[tuple[str, str, bool]]:
        queries = [(one["name"], hint(one["schema"]), bool(one.get("required"))) for one in self.of("query")]
        return queries + self.fields()

    def packed(self) -> list[str]:
        given = {"query": [one["name"] for one in self.of("query")], "body": [name for name, _, _ in self.fields()]}
        return [f"{word}={_dict(names)}" for word, names in given.items() if names]

    def answer(self) -> str:
        good = [one.get("content", {}) for status, one in self.raw["responses"].items() if str(status).startswith("2")]
        kinds = [hint(one["application/json"]["schema"]) if "application/json" in one else "bytes" for one in good]
        return " | ".join(dict.fromkeys(kinds))

    def about(self) -> str:
        verbs = ", ".join(self.raw.get("x-key-verbs", ()))
        return f"{self.raw.get('description', self.raw['operationId'])}\n\nVerbs of a key that open it: {verbs}."


def _dict(names: list[str]) -> str:
    return "{" + ", ".join(f'"{name}": {_safe(name)}' for name in names) + "}"


def _wrapped(head: str, items: list[str], tail: str) -> str:
    """On one line where it fits, else an item a line, as formatters have it."""
    line = f"{head}{', '.join(items)}{tail}"
    if len(line) <= WIDTH:
        return line
    indent = " " * (len(head) - len(head.lstrip()))
    return "\n".join([head, *(f"{indent}    {item}," for item in items), f"{indent}{tail}"])


def _docstring(text: str, indent: str) -> str:
    paragraphs = [" ".join(part.split()) for part in text.replace("\\", "\\\\").replace('"""', "'''").split("\n\n")]
    wrapped = ["\n".join(textwrap.wrap(part, WIDTH - len(indent))) for part in paragraphs]
    end = "\n" if len(wrapped) > 1 or "\n" in wrapped[0] else ""
    return textwrap.indent(f'"""{(chr(10) * 2).join(wrapped)}{end}"""', indent)


def _safe(name: str) -> str:
    name = name.replace("-", "_")
    return f"{name}_" if keyword.iskeyword(name) else name


def _or_none(kind: str) -> str:
    return kind if "None" in kind.split(" | ") or kind == "Any" else f"{kind} | None"
