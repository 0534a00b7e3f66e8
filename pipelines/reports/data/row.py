"""One row as a person decides about it: the offending text marked, its twin word by word, its score, its past."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pipelines.domain.data_checks import Finding, find_secrets, score_quality
from pipelines.models import Example, RowChange
from pipelines.reports.judging.difference import Piece, word_difference
from pipelines.validation.batch import parsed
from pipelines.validation.leakage import case_like
from pipelines.validation.quality import quality_settings
from tenants.models import Pipeline
from tenants.pipeline_settings import PipelineSettings

COMPARED = ("near_duplicate", "conflict", "duplicate")
BEHIND = 12  # characters that are marked from the place on where JSON breaks off
_PLACE = re.compile(r"\(char (\d+)\)")


@dataclass(frozen=True)
class Said:
    """One message. Pieces: same, mark (the offending text), out (only in the twin), in (only here)."""

    role: str
    pieces: tuple[Piece, ...]


@dataclass(frozen=True)
class ShownRow:
    """`twin_named`: what the row is compared with. `score`: sentence of the quality parts; empty for malformed rows."""

    example: Example
    said: tuple[Said, ...]
    twin_named: str
    parts: tuple[tuple[str, float], ...]
    score: float | None
    past: tuple[RowChange, ...]


def shown_row(pipeline: Pipeline, row: Example) -> ShownRow:
    changes = row.changes.select_related("decision")[:20]
    settings = pipeline.settings
    if not row.messages:
        return ShownRow(row, (Said("", _broken(row)),), "", (), None, tuple(changes))
    twin_named, twin = _twin(row, settings)
    score = score_quality(parsed(row), quality_settings(settings))
    said = tuple(_said(row, n, twin, settings) for n in range(len(row.messages)))
    return ShownRow(row, said, twin_named, tuple(score.parts.items()), score.score, tuple(changes))


def marked_pieces(row: Example, settings: PipelineSettings) -> tuple[Said, ...]:
    """For lists: the offending text marked; a row with a stored twin is compared with it."""
    if not row.messages:
        return (Said("", _broken(row)),)
    twin = row.twin.messages if row.twin is not None and row.rule in COMPARED else None
    return tuple(_said(row, n, twin, settings) for n in range(len(row.messages)))


def _twin(row: Example, settings: PipelineSettings) -> tuple[str, list[dict[str, str]] | None]:
    if row.rule in COMPARED and row.twin is not None:
        return f"{row.twin.batch.source}:{row.twin.line}", row.twin.messages
    if row.rule == "leakage":
        case = case_like(row, settings.data.near_duplicate_jaccard)
        if case is not None:
            return f"{case.eval_set.kind} v{case.eval_set.version} {case.key}", case.messages
    return "", None


def _said(row: Example, n: int, twin: list[dict[str, str]] | None, settings: PipelineSettings) -> Said:
    message = row.messages[n]
    text, role = message["content"], message["role"]
    if twin is not None and role != "system" and n < len(twin) and twin[n]["role"] == role:
        return Said(role, word_difference(twin[n]["content"], text))
    if row.rule == "secrets":
        return Said(role, tuple(_marked(text, find_secrets(text, settings.data.secret_kinds))))
    is_whole = (row.rule == "quality" and n == len(row.messages) - 1) or (row.rule == "novel" and role == "user")
    return Said(role, (Piece("mark" if is_whole else "same", text),))


def _marked(text: str, findings: Iterable[Finding]) -> Iterator[Piece]:
    at = 0
    for finding in findings:
        if finding.start > at:
            yield Piece("same", text[at : finding.start])
        yield Piece("mark", text[finding.start : finding.end])
        at = finding.end
    if at < len(text):
        yield Piece("same", text[at:])


def _broken(row: Example) -> tuple[Piece, ...]:
    """The raw line, marked where it breaks: at the place that the reader named, or at the last key of the pointer."""
    place = _PLACE.search(row.detail)
    if place is not None:
        start = min(int(place.group(1)), max(0, len(row.raw) - 1))
        return tuple(_marked(row.raw, [Finding("json", start, min(len(row.raw), start + BEHIND))]))
    keys = [part for part in row.pointer.split("/") if part and not part.isdigit()]
    start = row.raw.find(f'"{keys[-1]}"') if keys else -1
    if start < 0:
        return (Piece("mark", row.raw),)
    return tuple(_marked(row.raw, [Finding("key", start, start + len(keys[-1]) + 2)]))


def neighbours_in_queue(row: Example) -> tuple[int | None, int | None]:
    """(the row before, the row after) of the same state and rule, to go through them one by one."""
    rows = Example.objects.filter(pipeline_id=row.pipeline_id, state=row.state, rule=row.rule).order_by("id")
    before = rows.filter(pk__lt=row.pk).values_list("pk", flat=True).last()
    return before, rows.filter(pk__gt=row.pk).values_list("pk", flat=True).first()
