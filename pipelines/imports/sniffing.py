"""What a file is: format, encoding, delimiter. Found out where it is sure, asked for where it would be a guess."""

from __future__ import annotations

import codecs
import csv
from pathlib import Path

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from pipelines.imports.errors import BadFile
from pipelines.imports.mapping import Mapping

HEAD_BYTES = 256 * 1024
MAX_BROKEN = 0.05  # Of the first lines; beyond that the file is taken to be of another encoding.
BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
TEXT_FORMATS = ("jsonl", "json", "csv")
ENDINGS = {"csv": "csv", "tsv": "csv", "jsonl": "jsonl", "ndjson": "jsonl"}
FAMILIES = {"jsonl": "json", "json": "json", "csv": "csv", "xlsx": "xlsx", "parquet": "parquet"}
TABLES = ("xlsx", "parquet")
DELIMITERS = (",", ";", "\t", "|")
REFUSED = {
    b"\x1f\x8b": gettext_lazy("The file is compressed (gzip): unpack it first."),
    b"\xd0\xcf\x11\xe0": gettext_lazy("This is the old Excel format: save it as XLSX or CSV."),
    b"%PDF": gettext_lazy("This is a PDF: rows come as JSONL, JSON, CSV, XLSX or Parquet."),
}


def settle(path: Path, name: str, given: Mapping) -> Mapping:
    """The mapping with format, encoding and delimiter known. Raises `BadFile` for what cannot be read."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if not head.strip():
        raise BadFile(_("The file is empty."))
    found = given.model_copy(update={"format": given.format or _format(head, name)})
    if found.format not in TEXT_FORMATS:
        return found
    found = found.model_copy(update={"encoding": found.encoding or _encoding(head)})
    _check_known(found.encoding)
    if found.format == "csv" and not found.delimiter:
        found = found.model_copy(update={"delimiter": _delimiter(head, found.encoding)})
    return found


def remembered(path: Path, known: Mapping) -> Mapping:
    """What a source remembers, for this file: one of another kind is looked at anew, the names of columns stay."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if not known.format or not head.strip() or _family(head) == FAMILIES[known.format]:
        return known
    return known.model_copy(update={"format": "", "encoding": "", "delimiter": "", "sheet": ""})


def _family(head: bytes) -> str:
    for magic in (b"PK\x03\x04", b"PAR1", *REFUSED):
        if head.startswith(magic):
            return {b"PK\x03\x04": "xlsx", b"PAR1": "parquet"}.get(magic, "")
    text = head.decode(_encoding(head, is_sure=False), "replace").lstrip("\ufeff \t\r\n")
    return "json" if text.startswith(("{", "[")) else "csv"


def _format(head: bytes, name: str) -> str:
    if head.startswith(b"PK\x03\x04"):
        return "xlsx"
    if head.startswith(b"PAR1"):
        return "parquet"
    for magic, sentence in REFUSED.items():
        if head.startswith(magic):
            raise BadFile(str(sentence))
    ending = name.rpartition(".")[2].lower()
    known, words = ENDINGS.get(ending, ""), {"ending": ending}
    text = head.decode(_encoding(head, is_sure=False), "replace").lstrip("\ufeff \t\r\n")
    if ending in TABLES:
        raise BadFile(
            _("The name ends in .%(ending)s, but that is not what is in it: save it again so, or as CSV.") % words
        )
    if known:
        return known
    if text.startswith("["):
        return "json"
    # One object over many lines is JSON; an object a line is JSONL.
    return ("jsonl" if text.split("\n", 1)[0].rstrip().endswith("}") else "json") if text.startswith("{") else "csv"


def _encoding(head: bytes, *, is_sure: bool = True) -> str:
    for bom, encoding in BOMS:
        if head.startswith(bom):
            return encoding
    odd = head[1:400:2]
    if odd.count(0) > len(odd) // 4 and b"\x00" not in head[0:400:2]:  # A stray NUL makes no UTF-16.
        return "utf-16-le"
    broken = _broken_lines(head)
    if len(broken) <= MAX_BROKEN * head.count(b"\n"):
        return "utf-8"  # Its few broken lines are told one by one.
    if not is_sure:
        return "cp1252"
    sentence = _("Line %(n)s is not UTF-8. If the file comes from Excel, choose the encoding Windows-1252 (cp1252).")
    raise BadFile(sentence % {"n": broken[0]})


def _broken_lines(head: bytes) -> list[int]:
    """Numbers of the lines that are no UTF-8. The last one may end inside a character."""
    found = [n for n, line in enumerate(head.split(b"\n"), 1) if not _is_utf8(line)]
    is_cut = len(head) == HEAD_BYTES and bool(found) and found[-1] == head.count(b"\n") + 1
    return found[:-1] if is_cut else found


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _check_known(encoding: str) -> None:
    try:
        is_text = codecs.lookup(encoding)._is_text_encoding
    except (LookupError, ValueError):
        is_text = False
    if not is_text:
        raise BadFile(_("No encoding is called “%(name)s”. Try utf-8, cp1252 or utf-16.") % {"name": encoding})


def _delimiter(head: bytes, encoding: str) -> str:
    """The one that gives the first rows the most columns that they agree about; a comma where none does."""
    lines = head.decode(encoding, "replace").lstrip("\ufeff").splitlines()[:20]
    return max(DELIMITERS, key=lambda mark: (_agreed(lines, mark), -DELIMITERS.index(mark)))


def _agreed(lines: list[str], mark: str) -> int:
    counts: list[int] = []
    try:
        counts = [len(row) for row in csv.reader(lines, delimiter=mark) if row]
    except csv.Error:
        return 0
    return counts[0] * sum(count == counts[0] for count in counts) if counts and counts[0] > 1 else 0
