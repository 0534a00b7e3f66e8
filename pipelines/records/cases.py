"""Cases of evaluation sets as files bring them: JSON lines or CSV, each read to a case or refused by its line."""

from __future__ import annotations

import codecs
import csv
import io
import json
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from math import isfinite
from typing import Any

from django.utils.translation import gettext as _

from pipelines import metrics
from pipelines.metrics.text import normalise_name
from tenants.models.eval_set import EvalKind
from tenants.pipeline_settings import OutputFormat

MAX_CASES = 20_000
MAX_LINE_BYTES = 1_000_000
MAX_FILE_BYTES = 100_000_000
MAX_ID_CHARS = 100
MAX_DEPTH = 50
SHOWN_LABELS = 20
ROLES = ("system", "user", "assistant")

Case = dict[str, Any]


class CaseRefused(ValueError):
    """A sentence about the first case that cannot be taken, with its line."""


def read_cases(name: str, lines: Iterable[bytes], kind: str, output: OutputFormat) -> list[Case]:
    """All cases of a file, `name` ending in .csv or not. Nothing is taken where one of them is refused."""
    source = _from_csv(lines, output) if name.lower().endswith(".csv") else _from_json(lines)
    found = []
    for number, value in source:
        found.append(read_case(value, kind, _("Line %(number)s") % {"number": number}))
        if len(found) > MAX_CASES:
            raise CaseRefused(_("A set holds at most %(top)s cases; this file has more.") % {"top": MAX_CASES})
    refuse_twins(found)
    return found


def refuse_strange_labels(cases: Sequence[Case], output: OutputFormat) -> None:
    """A label that no answer may have could never be right: every candidate would lose the case."""
    if output.kind != "label" or not output.labels:
        return
    known = {normalise_name(label) for label in output.labels}
    for case in cases:
        label = case["expected"].get("label") if case["check"] == "label" else None
        if label is not None and normalise_name(str(label)) not in known:
            words = {"id": case["id"], "label": label, "labels": ", ".join(output.labels[:SHOWN_LABELS])}
            more = len(output.labels) - SHOWN_LABELS
            words["more"] = _(" and %(n)s more") % {"n": more} if more > 0 else ""
            raise CaseRefused(
                _(
                    "Case %(id)s expects “%(label)s”, which is no label of this pipeline (%(labels)s%(more)s)."
                    " Correct it, or add the label in the settings first."
                )
                % words
            )


def refuse_twins(cases: Sequence[Case]) -> None:
    seen: set[str] = set()
    for case in cases:
        if case["id"] in seen:
            raise CaseRefused(_("Two cases have the id “%(id)s”.") % {"id": case["id"]})
        seen.add(case["id"])


def read_case(value: Any, kind: str, where: str, known: Collection[str] = ()) -> Case:
    """{"id", "messages", "check", "expected", "origin"?} as put_eval_set takes it; `where` begins each refusal.

    Ids in `known` are stored already: they are taken whatever they hold.
    """
    if not isinstance(value, dict):
        raise CaseRefused(f"{where}: " + _("a case is a JSON object"))
    try:
        _refuse_unkeepable(value)
        case: Case = {"id": str(value["id"]), "messages": _messages(value["messages"])}
        check, expected = value.get("check", ""), value.get("expected") or {}
        if kind != EvalKind.LATENCY:
            check = value["check"]
            metrics.try_case(check, expected)
    except KeyError as missing:
        raise CaseRefused(f"{where}: " + _("%(what)s is missing") % {"what": missing}) from missing
    except (metrics.CaseError, CaseRefused) as problem:
        raise CaseRefused(f"{where}: {problem}") from problem
    if not 0 < len(case["id"]) <= MAX_ID_CHARS:
        raise CaseRefused(f"{where}: " + _("an id has between 1 and %(top)s characters") % {"top": MAX_ID_CHARS})
    if case["id"] not in known and _is_odd(case["id"]):
        raise CaseRefused(f"{where}: " + _("an id holds no control characters"))
    origin = {"origin": str(value["origin"])[:100]} if value.get("origin") else {}
    return case | {"check": check, "expected": expected} | origin


def _is_odd(key: str) -> bool:
    """Whether an id breaks a line."""
    return any(unicodedata.category(one) in ("Cc", "Zl", "Zp") for one in key)


def _refuse_unkeepable(value: Any) -> None:
    """PostgreSQL stores no NUL, UTF-8 has no lone surrogate, JSON no NaN; deep nesting overflows whoever writes it."""
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise CaseRefused(_("is nested more than %(top)s levels deep") % {"top": MAX_DEPTH})
        for text in filter(lambda one: isinstance(one, str), level):
            if "\x00" in text or any("\ud800" <= character <= "\udfff" for character in text):
                raise CaseRefused(_("holds a character that cannot be stored"))
        if any(isinstance(one, float) and not isfinite(one) for one in level):
            raise CaseRefused(_("holds NaN or infinity, which JSON does not have"))
        inner = [(*one.keys(), *one.values()) if isinstance(one, dict) else one for one in level if _is_nested(one)]
        level = [part for parts in inner for part in parts]


def _is_nested(value: Any) -> bool:
    return isinstance(value, dict | list)


def _messages(value: Any) -> list[dict[str, str]]:
    """The conversation up to the answer: it ends with the user's turn."""
    if not isinstance(value, list) or not all(isinstance(one, Mapping) for one in value):
        raise CaseRefused(_("messages is a list of {role, content}"))
    turns = [{"role": one["role"], "content": one["content"]} for one in value]
    if any(turn["role"] not in ROLES or not isinstance(turn["content"], str) for turn in turns):
        raise CaseRefused(_("a message has a role (%(roles)s) and a text") % {"roles": ", ".join(ROLES)})
    if not turns or turns[-1]["role"] != "user" or not turns[-1]["content"].strip():
        raise CaseRefused(_("nobody asks anything: the last message must be the user's"))
    return turns


def _from_json(lines: Iterable[bytes]) -> Iterator[tuple[int, Any]]:
    for number, line in _lines(lines):
        if not line.strip():
            continue
        try:
            yield number, json.loads(line)
        except (ValueError, RecursionError) as error:
            deep = isinstance(error, RecursionError)
            why = _("nested too deeply") if deep else _("is not JSON: %(why)s") % {"why": error}
            raise CaseRefused(_("Line %(number)s: %(why)s") % {"number": number, "why": why}) from error


def _lines(lines: Iterable[bytes]) -> Iterator[tuple[int, str]]:
    """Decoded and bounded; a NUL would break the database."""
    size = 0
    for number, line in enumerate(lines, 1):
        size += len(line)
        if len(line) > MAX_LINE_BYTES or size > MAX_FILE_BYTES:
            raise CaseRefused(_("Line %(number)s: longer than 1 MB, or the file than 100 MB.") % {"number": number})
        if number == 1 and line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise CaseRefused(_("The file is UTF-16. Save it as UTF-8 and send it again."))
        if b"\x00" in line or b"\\u0000" in line:
            raise CaseRefused(_("Line %(number)s: holds a NUL character.") % {"number": number})
        try:
            yield number, line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            why = _("Line %(number)s: is no UTF-8. Save the file as UTF-8 and send it again.")
            raise CaseRefused(why % {"number": number}) from error


def _from_csv(lines: Iterable[bytes], output: OutputFormat) -> Iterator[tuple[int, Any]]:
    """Columns: input and expected; optional id, system, check. `expected` is JSON, or the plain text or label."""
    reader = csv.DictReader(io.StringIO("".join(line for _n, line in _lines(lines)), newline=""))
    try:
        missing = {"input", "expected"} - set(reader.fieldnames or ())
        if missing:
            names = ", ".join(sorted(missing))
            raise CaseRefused(_("The first line names the columns; %(names)s is not among them.") % {"names": names})
        for row in reader:
            yield reader.line_num, _row(row, reader.line_num, output)
    except csv.Error as error:
        raise CaseRefused(_("Line %(number)s: %(why)s") % {"number": reader.line_num, "why": error}) from error


def _row(row: Mapping[str, str | None], number: int, output: OutputFormat) -> Case:
    said = [{"role": "system", "content": row["system"]}] if row.get("system") else []
    check = row.get("check") or usual_check(output)
    return {
        "id": row.get("id") or f"line-{number}",
        "messages": [*said, {"role": "user", "content": row["input"] or ""}],
        "check": check,
        "expected": expectation(check, row["expected"] or "", output),
    }


def usual_check(output: OutputFormat) -> str:
    """How an answer of this form is compared when nobody says it."""
    return {"label": "label", "json": "json_fields"}.get(output.kind, "normalised_match")


def expectation(check: str, text: str, output: OutputFormat) -> dict[str, Any]:
    """What a person wrote as expected: a JSON object as it is; else the label or text itself."""
    try:
        value = json.loads(text) if text.lstrip().startswith("{") else None
    except (ValueError, RecursionError):
        value = None
    if isinstance(value, dict):
        return {"fields": value} if check == "json_fields" and "fields" not in value else value
    if check in ("label", "accuracy", "f1_macro"):
        return {"label": text.strip()} | ({"labels": list(output.labels)} if output.labels else {})
    return {"text": text} if text else {}
