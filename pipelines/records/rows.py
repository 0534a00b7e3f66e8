"""From an uploaded line to an example row: parsed, labelled, with its digests; or the rule that it breaks."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _

from pipelines.domain.data_checks import Example as Parsed
from pipelines.domain.data_checks import RowProblem, Unreadable, language_of, parse_line, words_of
from pipelines.models import Batch, Example, ExampleState, Source, Trust
from tenants.actions import input_digest
from tenants.pipeline_settings import OutputFormat

MAX_LINE_BYTES = 1_000_000
KEPT_RAW_CHARS = 20_000
MAX_LABEL_CHARS = 200
MAX_POINTER_CHARS = 200
# PostgreSQL stores no NUL, and a lone surrogate has no UTF-8. Escaped inside an answer's own JSON, both are text.
UNKEEPABLE = re.compile("[\x00\ud800-\udfff]")


def example_of(batch: Batch, number: int, line: bytes | Unreadable, output: OutputFormat, now: datetime) -> Example:
    """The row of line `number`; never raises on bad input."""
    fields: dict[str, Any] = {"line": number, "created_at": now, "pipeline_id": batch.pipeline_id}
    problem, parsed = _unread(line) if isinstance(line, Unreadable) else _parse(line)
    if parsed is None:
        given = line.raw if isinstance(line, Unreadable) else line
        raw = given[:KEPT_RAW_CHARS].decode("utf-8", "replace").replace("\x00", "\ufffd")
        broken = {"rule": problem[0], "pointer": problem[1][:MAX_POINTER_CHARS], "detail": problem[2]}
        return Example.of(batch, batch=batch, raw=raw, state=ExampleState.QUARANTINED, **broken, **fields)
    return Example.of(batch, batch=batch, **facts_of(parsed, output), **fields)


def settle_by(source: Source, rows: Iterable[Example]) -> None:
    """New rows as their source stands: at low trust somebody looks first, withdrawn they train nothing."""
    for row in rows:
        if source.trust == Trust.LOW and row.state == ExampleState.READY:
            row.state, row.rule = ExampleState.REVIEW, "trust"
        if source.withdrawn_at is not None:
            row.before, row.state = row.state, ExampleState.WITHDRAWN


def facts_of(parsed: Parsed, output: OutputFormat) -> dict[str, Any]:
    """The columns of a whole row that follow from its text."""
    messages = [{"role": role, "content": text} for role, text in parsed.turns]
    return {
        "messages": messages,
        "label": label_of(parsed.answer, output) or parsed.label,
        "content_digest": parsed.content_digest,
        "input_digest": input_digest(messages),
        "words": words_of(parsed.near_text),
        "language": language_of(parsed.near_text),
    }


def _unread(line: Unreadable) -> tuple[tuple[str, str, str], None]:
    return (line.problem.rule.value, line.problem.pointer, line.problem.message), None


def _parse(line: bytes) -> tuple[tuple[str, str, str], Parsed | None]:
    """((rule, pointer, sentence), None) for a broken line; (empty, the example) for a whole one."""
    if len(line) > MAX_LINE_BYTES:
        said = _(
            "The line is longer than 1 MB; its beginning is kept. Put each row on a line of its own, then send it."
        )
        return ("too_long", "", said), None
    if b"\x00" in line or b"\\u0000" in line:
        return ("nul", "", _("The line holds a NUL character.")), None
    match parse_line(line):
        case RowProblem() as problem:
            return (problem.rule.value, problem.pointer, problem.message), None
        case Parsed() as parsed:
            return ("", "", ""), parsed


def label_of(answer: str, output: OutputFormat) -> str:
    """What the distribution check counts: the label, or the first field of a JSON answer; nothing for free text."""
    match output.kind:
        case "label":
            return answer.strip()[:MAX_LABEL_CHARS]
        case "json":
            return _first_field(answer, output.fields[0])
        case _:
            return ""


def _first_field(answer: str, name: str) -> str:
    try:
        value = json.loads(answer)
    except (ValueError, RecursionError):
        return ""
    first = str(value.get(name, "")) if isinstance(value, dict) else ""
    return UNKEEPABLE.sub("\ufffd", first[:MAX_LABEL_CHARS])
