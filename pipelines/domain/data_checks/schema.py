"""One training row: parsed, checked against its layout, with canonical content and digests."""

import json
import unicodedata
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import Any

from pipelines.domain.data_checks.shapes import as_known, where

MAX_LABEL_CHARS = 200


class Layout(StrEnum):
    """How a row is written. Chat: {"messages": [...]}. Completion: {"input": ..., "output": ...}."""

    CHAT = "chat"
    COMPLETION = "completion"


class RowRule(StrEnum):
    """What a row broke."""

    JSON = "json"
    OBJECT = "object"
    LAYOUT = "layout"
    TYPE = "type"
    ROLE = "role"
    ALTERNATION = "alternation"
    ENDS_WITH_ASSISTANT = "ends_with_assistant"
    EMPTY = "empty"
    CHARACTERS = "characters"
    TABLE = "table"


@dataclass(frozen=True)
class RowProblem:
    """Why a row is quarantined; `pointer` (RFC 6901) says where in it."""

    rule: RowRule
    pointer: str
    message: str


@dataclass(frozen=True)
class Unreadable:
    """A row of a file that could not even be laid out: what stood there, and why not."""

    raw: bytes
    problem: RowProblem


@dataclass(frozen=True)
class Example:
    """A whole row: turns of (role, text) that end with the assistant's; a completion is a user's and its answer.

    `label` is the category that its sender gave beside the text, if any.
    """

    layout: Layout
    turns: tuple[tuple[str, str], ...]
    label: str = ""

    @property
    def answer(self) -> str:
        """The text that training teaches; the label where answers are labels."""
        return self.turns[-1][1]

    @property
    def prompt(self) -> str:
        """The last user text."""
        return self.turns[-2][1]

    @property
    def content_digest(self) -> str:
        """SHA-256 of the canonical content: equal digests are exact duplicates."""
        return _digest(self.turns)

    @property
    def input_digest(self) -> str:
        """SHA-256 of everything before the answer: same input and another answer is a conflict."""
        return _digest(self.turns[:-1])

    @property
    def near_text(self) -> str:
        """What near duplicates are compared by: without the system prompt, which rows of one client share."""
        return "\n".join(text for role, text in self.turns if role != "system")


def _digest(turns: tuple[tuple[str, str], ...]) -> str:
    content = [[role, _canonical(text)] for role, text in turns]
    return sha256(json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()).hexdigest()


def _canonical(text: str) -> str:
    lines = unicodedata.normalize("NFC", text).replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return "\n".join(line.rstrip() for line in lines).strip()


class _Broken(Exception):
    def __init__(self, rule: RowRule, pointer: str, message: str) -> None:
        super().__init__(message)
        self.problem = RowProblem(rule, pointer, message)


def parse_line(line: str | bytes, layout: Layout | None = None) -> Example | RowProblem:
    """A line of JSON as an example, or what is wrong with it; never raises on bad input."""
    try:
        # The decoder would guess UTF-16 and UTF-32 from the first bytes: rows are UTF-8.
        row = json.loads(line if isinstance(line, str) else line.decode("utf-8-sig"))
    except RecursionError:
        return RowProblem(RowRule.JSON, "", "the row is nested too deeply")
    except UnicodeDecodeError:
        return RowProblem(RowRule.CHARACTERS, "", "the row is not UTF-8")
    except ValueError as error:
        return RowProblem(RowRule.JSON, "", f"the row is not JSON: {error}")
    return parse_row(row, layout)


def parse_row(row: object, layout: Layout | None = None) -> Example | RowProblem:
    """A decoded row as an example, or the first thing wrong with it. `layout` None: either is accepted."""
    if not isinstance(row, dict):
        return RowProblem(RowRule.OBJECT, "", "the row is not an object")
    try:
        return _parse(as_known(row) if layout is None else row, layout)
    except _Broken as broken:
        problem = broken.problem
        return RowProblem(problem.rule, where(problem.pointer, row), problem.message)


def _parse(row: dict[str, Any], layout: Layout | None) -> Example:
    if "messages" in row and layout is not Layout.COMPLETION:
        return Example(Layout.CHAT, _chat(row["messages"]), _label(row))
    if "input" in row and layout is not Layout.CHAT:
        given, wanted_answer = _text(row["input"], "/input"), _text(row.get("output"), "/output")
        return Example(Layout.COMPLETION, (("user", given), ("assistant", wanted_answer)), _label(row))
    wanted = {Layout.CHAT: "messages", Layout.COMPLETION: "input and output"}
    expected = wanted[layout] if layout else "messages, or input and output"
    raise _Broken(RowRule.LAYOUT, "", f"the row has no {expected}")


def _label(row: dict[str, Any]) -> str:
    given = row.get("label")
    return _text(given, "/label").strip()[:MAX_LABEL_CHARS] if isinstance(given, str) and given.strip() else ""


def _chat(messages: object) -> tuple[tuple[str, str], ...]:
    if not isinstance(messages, list):
        raise _Broken(RowRule.TYPE, "/messages", "messages must be a list")
    if not messages:
        raise _Broken(RowRule.EMPTY, "/messages", "there are no messages")
    turns = tuple(_turn(message, f"/messages/{i}") for i, message in enumerate(messages))
    first = 1 if turns[0][0] == "system" else 0
    for i, (role, _) in enumerate(turns[first:]):
        expected = ("user", "assistant")[i % 2]
        if role != expected:
            pointer = f"/messages/{first + i}/role"
            raise _Broken(RowRule.ALTERNATION, pointer, f"expected {expected} here, found {role}")
    if turns[-1][0] != "assistant":
        pointer = f"/messages/{len(turns) - 1}"
        raise _Broken(RowRule.ENDS_WITH_ASSISTANT, pointer, "the last message is not the assistant's")
    return turns


def _turn(message: object, pointer: str) -> tuple[str, str]:
    if not isinstance(message, dict):
        raise _Broken(RowRule.TYPE, pointer, "a message must be an object")
    role = message.get("role")
    if not isinstance(role, str) or role not in ("system", "user", "assistant"):
        raise _Broken(RowRule.ROLE, f"{pointer}/role", "the role must be system, user or assistant")
    return role, _text(message.get("content"), f"{pointer}/content")


def _text(value: object, pointer: str) -> str:
    if not isinstance(value, str):
        raise _Broken(RowRule.TYPE, pointer, "missing" if value is None else "must be text")
    if not value.strip():
        raise _Broken(RowRule.EMPTY, pointer, "is empty")
    # PostgreSQL stores no NUL, and a lone surrogate has no UTF-8.
    if "\0" in value or any("\ud800" <= c <= "\udfff" for c in value):
        raise _Broken(RowRule.CHARACTERS, pointer, "holds a character that cannot be stored")
    return value
