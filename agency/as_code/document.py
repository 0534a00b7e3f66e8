"""The file: YAML (or JSON, which is YAML too) read strictly, so that it says the same to us as to its readers."""

from __future__ import annotations

from contextlib import closing
from typing import Any, Literal

import yaml
from django.utils.translation import gettext as _
from pydantic import ConfigDict, ValidationError

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
    name: str = ""
    base_digest: str = ""
    settings: PipelineSettings


class Strict(yaml.SafeLoader):
    """YAML without what surprises: no aliases, no key twice, only text as keys, not deep, not endless."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = self._nodes = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            self._refuse(_("an alias (*name) is not allowed: write the value out"))
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


def read(text: str) -> Document:
    """Raises BadDocument."""
    if len(text) > MOST_CHARS:
        raise BadDocument(_("The file has more than %(n)s characters.") % {"n": MOST_CHARS})
    try:
        with closing(Strict(text)) as loader:
            body = loader.get_single_data()
    except yaml.YAMLError as fault:
        raise BadDocument(_("This is no YAML: %(why)s") % {"why": fault}) from fault
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
