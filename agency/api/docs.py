"""The API's page: plain HTML made from the OpenAPI document, without scripts, so that the strict policy holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from ninja import NinjaAPI
from ninja.openapi.docs import DocsBase

METHODS = ("get", "post", "put", "patch", "delete")


@dataclass(frozen=True)
class Field:
    """A parameter, or a field of a body. `where`: path, query, header or body."""

    name: str
    kind: str
    where: str
    is_required: bool
    note: str


@dataclass(frozen=True)
class Operation:
    """`verbs`: a key needs one of them."""

    id: str
    method: str
    path: str
    paragraphs: tuple[str, ...]
    verbs: tuple[str, ...]
    fields: tuple[Field, ...]
    body: str
    answers: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Shape:
    """One schema of the document."""

    name: str
    description: str
    fields: tuple[Field, ...]


class PlainDocs(DocsBase):
    """Replaces the interactive page, whose bundle would be 1.4 MB of script."""

    def render_page(self, request: HttpRequest, api: NinjaAPI, **kwargs: Any) -> HttpResponse:
        document = api.get_openapi_schema(path_params=kwargs)
        context = {
            "api": api,
            "base": settings.BASE_URL.rstrip("/") + api.get_root_path(kwargs).rstrip("/"),
            "operations": operations(document),
            "shapes": shapes(document),
            "openapi_url": self.get_openapi_url(api, kwargs),
        }
        return TemplateResponse(request, "api/docs.html", context).render()


def operations(document: dict[str, Any]) -> list[Operation]:
    paths: dict[str, Any] = document["paths"]
    return [_operation(path, m, item[m]) for path, item in paths.items() for m in METHODS if m in item]


def shapes(document: dict[str, Any]) -> list[Shape]:
    found: dict[str, Any] = document.get("components", {}).get("schemas", {})
    given = [(name_of(raw), schema) for raw, schema in sorted(found.items()) if "properties" in schema]
    return [Shape(name, schema.get("description", ""), _members(schema)) for name, schema in given]


def name_of(raw: str) -> str:
    """ "Page_RunOut_" is what pydantic makes of Page[RunOut]."""
    outer, _bar, inner = raw.rstrip("_").partition("_")
    return f"{outer}[{inner}]" if inner else outer


def _operation(path: str, method: str, raw: dict[str, Any]) -> Operation:
    return Operation(
        id=raw["operationId"],
        method=method.upper(),
        path=path,
        paragraphs=tuple(" ".join(part.split()) for part in raw.get("description", "").split("\n\n")),
        verbs=tuple(raw.get("x-key-verbs", ())),
        fields=tuple(_parameter(p) for p in raw.get("parameters", ())),
        body=_body(raw.get("requestBody", {})),
        answers=tuple((str(status), _body(answer)) for status, answer in raw.get("responses", {}).items()),
    )


def _parameter(raw: dict[str, Any]) -> Field:
    return Field(raw["name"], kind_of(raw.get("schema", {})), raw["in"], raw.get("required", False), "")


def _members(shape: dict[str, Any]) -> tuple[Field, ...]:
    needed = shape.get("required", ())
    members = shape["properties"].items()
    return tuple(Field(name, kind_of(s), "body", name in needed, s.get("description", "")) for name, s in members)


def _body(raw: dict[str, Any]) -> str:
    """Content type (where it is not JSON) and schema of a body or answer."""
    for media, content in raw.get("content", {}).items():
        kind = kind_of(content.get("schema", {}))
        return kind if media == "application/json" else media
    return ""


def kind_of(schema: dict[str, Any]) -> str:
    """A JSON schema in a few words: "integer", "RunOut", "list of GateOut", "string or null"."""
    match schema:
        case {"$ref": str(ref)}:
            return name_of(ref.rpartition("/")[2])
        case {"anyOf": list(options)}:
            return _(" or ").join(kind_of(option) for option in options)
        case {"type": "array"}:
            return _("list of %(kind)s") % {"kind": kind_of(schema.get("items", {}))}
        case {"type": "string", "format": str(form)}:
            return form
        case {"type": str(kind)}:
            return kind
    return _("anything")
