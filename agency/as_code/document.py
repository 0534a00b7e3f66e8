"""The file: YAML (or JSON, which is YAML too) read strictly, so that it says the same to us as to its readers."""

from __future__ import annotations

import re
from contextlib import closing
from typing import Any, Literal

import yaml
from django.utils.translation import gettext as _
from pydantic import ConfigDict, Field, ValidationError

from tenants.models import Pipeline
from tenants.pipeline_settings import Part, PipelineSettings

MOST_CHARS, MOST_DEPTH, MOST_NODES = 1_000_000, 20, 50_000


class BadDocument(ValueError):
    """The file cannot be applied; a sentence per fault, each with its place."""

    permanent = True


class Document(Part):
    """`base_digest` (SHA-256 of the base model's folder) is refused where another model has the base's name."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    retune: Literal[1]
    pipeline: str
    name: str = Field("", max_length=200)
    base_digest: str = ""
    settings: PipelineSettings


PLAIN_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)$")
PLAIN_FLOAT = re.compile(r"(?:[-+]?[0-9]+\.[0-9]*(?:[eE][-+][0-9]+)?|\.[0-9]+(?:[eE][-+][0-9]+)?|[-+]?\.inf|\.nan)$")


class Strict(yaml.SafeLoader):
    """YAML without what surprises: no aliases, no tags, no key twice, only text as keys, not deep, not endless.

    Numbers are decimal: what YAML 1.1 reads to base 60 (14:00), 8, 16 or 2 or as a date is the text that it looks like.
    """

    yaml_implicit_resolvers = {
        first: [(tag, shape) for tag, shape in found if tag.rpartition(":")[2] not in ("int", "float", "timestamp")]
        for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = self._nodes = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            self._refuse(_("an alias (*name) is not allowed: write the value out"))
        event = self.peek_event()
        if event.tag is not None:
            self._refuse(_("a tag (%(tag)s) is not allowed") % {"tag": event.tag}, event.start_mark)
        self._depth, self._nodes = self._depth + 1, self._nodes + 1
        if self._depth > MOST_DEPTH or self._nodes > MOST_NODES:
            self._refuse(_("the file is nested too deep or too long"))
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen = set()
        for key, _value in node.value:
            if key.tag != "tag:yaml.org,2002:str":
                self._refuse(_("key %(key)s is no text: put it into quotes") % {"key": key.value}, key.start_mark)
            if key.value in seen:
                self._refuse(_("key %(key)s is there twice") % {"key": key.value}, key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)

    def close(self) -> None:
        self.dispose()

    def _refuse(self, why: str, mark: Any = None) -> None:
        raise BadDocument(_("line %(n)s: %(why)s") % {"n": (mark or self.get_mark()).line + 1, "why": why})


Strict.add_implicit_resolver("tag:yaml.org,2002:int", PLAIN_INT, list("-+0123456789"))
Strict.add_implicit_resolver("tag:yaml.org,2002:float", PLAIN_FLOAT, list("-+0123456789."))


def read(text: str) -> Document:
    """Raises BadDocument."""
    if len(text) > MOST_CHARS:
        raise BadDocument(_("The file has more than %(n)s characters.") % {"n": MOST_CHARS})
    try:
        with closing(Strict(text)) as loader:
            body = loader.get_single_data()
    except yaml.YAMLError as fault:
        raise BadDocument(_("This is no YAML: %(why)s") % {"why": fault}) from fault
    except BadDocument:
        raise
    except ValueError as fault:  # A number of more digits than Python reads.
        raise BadDocument(_("A value cannot be read: %(why)s") % {"why": fault}) from fault
    try:
        return Document.model_validate(body)
    except ValidationError as error:
        raise BadDocument("\n".join(sentences(error))) from error


def write(pipeline: Pipeline, base_digest: str) -> str:
    """What `read` reads: every setting of the revision that holds, in the order of docs/reference/settings.md."""
    revision = pipeline.revision
    body = {
        "retune": 1,
        "pipeline": pipeline.slug,
        "name": pipeline.name,
        "base_digest": base_digest,
        "settings": pipeline.settings.model_dump(mode="json"),
    }
    head = f"# r{revision.number}, {revision.created_at:%Y-%m-%d %H:%M} UTC\n" if revision else ""
    return head + yaml.safe_dump(body, sort_keys=False, allow_unicode=True, width=120)


def sentences(error: ValidationError) -> list[str]:
    """One per fault, with its place and without the value."""
    found = []
    for problem in error.errors():
        path = ".".join(str(part) for part in problem["loc"])
        found.append(f"{path}: {problem['msg']}" if path else str(problem["msg"]))
    return found
