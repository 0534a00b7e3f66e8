"""How a file is read, as it is saved per source: format, encoding, delimiter, and which column says what."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from collections.abc import Mapping as Columns
from typing import TYPE_CHECKING, Any, Literal

from django.utils.translation import gettext as _
from pydantic import BaseModel, ConfigDict, Field

from pipelines.domain.data_checks import RowProblem, RowRule, Unreadable
from pipelines.imports.errors import BadFile

if TYPE_CHECKING:
    from pipelines.imports import Row

# What a column is often called, in the order of trust.
USUAL: dict[str, tuple[str, ...]] = {
    "user": ("text", "user", "question", "prompt", "input", "query", "utterance", "message", "sentence", "instruction"),
    "assistant": ("assistant", "answer", "output", "completion", "response", "reply"),
    "label": ("label", "category", "intent", "class", "target", "topic"),
    "system": ("system", "system_prompt"),
}
WHOLE_ROWS = ("messages", "conversations")
MAX_SHOWN_COLUMNS = 20


class Mapping(BaseModel):
    """Empty values are found out. `user`, `assistant`, `label`, `system` name columns; `instruction` is a system
    prompt that every row gets. Without a column for the answer the label is the answer.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["", "jsonl", "json", "csv", "xlsx", "parquet"] = ""
    encoding: str = Field("", max_length=40)
    delimiter: str = Field("", max_length=1)
    sheet: str = Field("", max_length=100)
    user: str = Field("", max_length=200)
    assistant: str = Field("", max_length=200)
    label: str = Field("", max_length=200)
    system: str = Field("", max_length=200)
    instruction: str = Field("", max_length=20_000)

    @property
    def names_columns(self) -> bool:
        return bool(self.user or self.assistant or self.label or self.system)

    @property
    def answer(self) -> str:
        return self.assistant or self.label

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it names, each once."""
        return tuple(dict.fromkeys(filter(None, (self.user, self.assistant, self.label, self.system))))


def guess(columns: tuple[str, ...], known: Mapping) -> Mapping:
    """The mapping with columns found by their usual names, where it names none yet."""
    if known.names_columns or set(WHOLE_ROWS) & set(columns):
        return known
    plain = {name.strip().lower(): name for name in reversed(columns)}
    found = {role: next((plain[name] for name in names if name in plain), "") for role, names in USUAL.items()}
    return known.model_copy(update=found)


def check(mapping: Mapping, columns: tuple[str, ...]) -> None:
    """Refuses a mapping that a table cannot be read by."""
    there = ", ".join(columns[:MAX_SHOWN_COLUMNS]) + (", …" if len(columns) > MAX_SHOWN_COLUMNS else "")
    if not mapping.names_columns:
        if columns and not set(WHOLE_ROWS) & set(columns):
            sentence = _("Say which column holds the question and which the answer. The file has: %(there)s.")
            raise BadFile(sentence % {"there": there})
        return
    if not mapping.user or not mapping.answer:
        raise BadFile(_("A row needs a column for the question and one for the answer or the label."))
    missing = [name for name in mapping.columns if name not in columns] if columns else []
    if missing:
        words = {"missing": ", ".join(missing), "there": there}
        raise BadFile(_("The file has no column %(missing)s. It has: %(there)s.") % words)


def as_lines(rows: Iterable[Row], mapping: Mapping) -> Iterator[bytes | Unreadable]:
    """Rows as NDJSON lines of chat; a row that cannot be one says why."""
    for row in rows:
        match row:
            case bytes() if mapping.names_columns:
                yield _decoded(row, mapping) if row.strip() else b""
            case dict():
                yield chat(row, mapping) if mapping.names_columns else dump(row)
            case _:
                yield row


def _decoded(line: bytes, mapping: Mapping) -> bytes | Unreadable:
    try:
        row = json.loads(line.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return line  # Whatever is wrong with it is said where every line is looked at.
    return chat(row, mapping) if isinstance(row, dict) else line


def chat(row: Columns[str, Any], mapping: Mapping) -> bytes | Unreadable:
    """One row by the mapping's columns."""
    for column in (mapping.user, mapping.answer):
        if not text_of(row.get(column)).strip():
            why = _("The column “%(column)s” is empty here.") % {"column": column}
            return Unreadable(dump(dict(row)), RowProblem(RowRule.EMPTY, f"/{column}", why))
    turns = [("user", text_of(row[mapping.user])), ("assistant", text_of(row[mapping.answer]))]
    system = text_of(row.get(mapping.system)).strip() if mapping.system else ""
    if system or mapping.instruction.strip():
        turns.insert(0, ("system", system or mapping.instruction.strip()))
    made: dict[str, Any] = {"messages": [{"role": role, "content": text} for role, text in turns]}
    if mapping.label:
        made["label"] = text_of(row.get(mapping.label)).strip()
    return dump(made)


def text_of(value: object) -> str:
    match value:
        case None:
            return ""
        case str():
            return value
        case float() if value.is_integer():
            return str(int(value))
        case bytes():
            return value.decode("utf-8", "surrogateescape")
        case dict() | list():
            return dump(value).decode()
        case _:
            return str(value)


def dump(value: object) -> bytes:
    return json.dumps(value, default=text_of).encode()
