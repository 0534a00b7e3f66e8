"""CSV and its kin: a header that names the columns, then one row a record."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from django.utils.translation import gettext as _

from pipelines.domain.data_checks import RowProblem, RowRule, Unreadable
from pipelines.imports.errors import BadFile
from pipelines.imports.lines import MAX_LINE_CHARS, Counted, text_lines
from pipelines.imports.mapping import Mapping

MAX_COLUMNS = 1000
csv.field_size_limit(MAX_LINE_CHARS)


class Delimited:
    """Strict: a quotation mark that is never closed would swallow the rows behind it unseen."""

    columns: tuple[str, ...]

    def __init__(self, path: Path, mapping: Mapping) -> None:
        self.source, self.mapping = Counted(path), mapping
        self.text = self.source.text(mapping.encoding)
        self.seen: list[str] = []
        self.reader = csv.reader(self._watched(), delimiter=mapping.delimiter or ",", strict=True)
        self.columns = header(next(self._records(), None))

    @property
    def share(self) -> float:
        return self.source.share

    def rows(self, wanted: tuple[str, ...] = ()) -> Iterator[dict[str, str] | Unreadable]:
        with self.text:
            for record in self._records():
                if isinstance(record, Unreadable):
                    yield record
                elif any(cell.strip() for cell in record):
                    yield self._row(record)

    def _watched(self) -> Iterator[str]:
        for line in text_lines(self.text, self.mapping.encoding):
            self.seen.append(line)
            yield line

    def _records(self) -> Iterator[list[str] | Unreadable]:
        while True:
            self.seen = []
            try:
                record = next(self.reader, None)
            except csv.Error as error:
                self._refuse_what_never_ends(error)
                yield self._unreadable(RowRule.TABLE, str(error))
                continue
            if record is None:
                return
            yield record

    def _refuse_what_never_ends(self, error: csv.Error) -> None:
        begun = self.reader.line_num - len(self.seen) + 1
        if "field larger" in str(error) or "unexpected end" in str(error):
            sentence = _(
                "A quotation mark that opens at line %(n)s is never closed. Close or double it, then try again."
            )
            raise BadFile(sentence % {"n": begun}) from error

    def _row(self, record: list[str]) -> dict[str, str] | Unreadable:
        if any(cell.strip() for cell in record[len(self.columns) :]):  # Spreadsheets write empty cells behind a row.
            words = {"n": len(record), "columns": len(self.columns)}
            return self._unreadable(
                RowRule.TABLE, _("%(n)s fields, but the header names %(columns)s. Is a delimiter not quoted?") % words
            )
        if any("\udc80" <= character <= "\udcff" for cell in record for character in cell):
            return self._unreadable(RowRule.CHARACTERS, _("Some bytes are not UTF-8. Choose the file's encoding."))
        return dict(zip(self.columns, record, strict=False))

    def _unreadable(self, rule: RowRule, why: str) -> Unreadable:
        raw = "".join(self.seen).encode("utf-8", "surrogateescape")
        return Unreadable(raw, RowProblem(rule, _("line %(n)s") % {"n": self.reader.line_num}, why))


def header(record: list[str] | tuple[object, ...] | Unreadable | None) -> tuple[str, ...]:
    """The names of a table's columns; refuses a header that cannot name them."""
    if record is None or isinstance(record, Unreadable):
        raise BadFile(_("The first line does not name the columns."))
    names = ["" if cell is None else str(cell).strip() for cell in record]
    while names and not names[-1]:
        names.pop()
    if not names or len(names) > MAX_COLUMNS:
        words = {"n": len(names), "top": MAX_COLUMNS}
        raise BadFile(_("The first line names %(n)s columns; 1 to %(top)s can be read.") % words)
    named = tuple(name or _("column %(n)s") % {"n": n} for n, name in enumerate(names, 1))
    twice = next((name for name in named if named.count(name) > 1), None)
    if twice is not None:
        raise BadFile(_("Two columns are called “%(name)s”. Rename one.") % {"name": twice[:80]})
    return named
