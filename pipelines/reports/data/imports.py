"""A file before it is imported: how it would be read, and its first rows as they would train."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from django.utils.translation import gettext as _

from pipelines.domain.data_checks import RowProblem, Unreadable, parse_line
from pipelines.imports import BadFile, Mapping
from pipelines.models import Batch
from pipelines.records.files import opened

SHOWN_ROWS = 8
SHOWN_CHARS = 80


@dataclass(frozen=True)
class ShownRow:
    """`number` counts rows from 1. Either `messages`, or `where` and `why` it would be quarantined."""

    number: int
    messages: tuple[dict[str, str], ...] = ()
    label: str = ""
    where: str = ""
    why: str = ""

    @property
    def summary(self) -> str:
        said = " | ".join(f"{m['role']}: {m['content'][:SHOWN_CHARS]}" for m in self.messages)
        return said or f"{self.where} {self.why}".strip()


@dataclass(frozen=True)
class Preview:
    """`mapping` with everything found out. `refusal` says why the file cannot be read so; then there are no rows."""

    mapping: Mapping
    columns: tuple[str, ...] = ()
    rows: tuple[ShownRow, ...] = ()
    refusal: str = ""


def preview(batch: Batch, mapping: Mapping) -> Preview:
    try:
        found = opened(batch, mapping)
    except BadFile as error:
        return Preview(mapping, refusal=str(error))
    try:
        rows = tuple(islice(_shown(found.lines()), SHOWN_ROWS))
        none = "" if rows else _("The file names its columns and has no row below them.")
        return Preview(found.mapping, found.reader.columns, rows, none)
    except BadFile as error:
        return Preview(found.mapping, found.reader.columns, refusal=str(error))


def _shown(lines: Iterator[bytes | Unreadable]) -> Iterator[ShownRow]:
    for number, line in enumerate(lines, 1):
        if isinstance(line, Unreadable) or line.strip():
            yield _row(number, line)


def _row(number: int, line: bytes | Unreadable) -> ShownRow:
    parsed = line.problem if isinstance(line, Unreadable) else parse_line(line)
    match parsed:
        case RowProblem() as problem:
            return ShownRow(number, where=problem.pointer, why=problem.message)
        case example:
            messages = tuple({"role": role, "content": text} for role, text in example.turns)
            return ShownRow(number, messages, example.label)


def in_words(shown: Preview) -> str:
    """How the file is read, in one line."""
    facts: dict[str, Any] = shown.mapping.model_dump(exclude={"instruction", "format"})
    facts["delimiter"] = {"\t": "tab"}.get(facts["delimiter"], facts["delimiter"])
    said = [f"{name} {value}" for name, value in facts.items() if value]
    if shown.mapping.instruction:
        said.append(_("with a system prompt for every row"))
    return ", ".join([shown.mapping.format.upper() or "?", *said])
