"""XLSX, read as a stream: the first sheet or a named one, its first row naming the columns."""

from __future__ import annotations

import lzma
import zipfile
import zlib
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

from defusedxml import DefusedXmlException
from django.utils.translation import gettext as _

from pipelines.imports.delimited import header
from pipelines.imports.errors import BadFile
from pipelines.imports.mapping import Mapping

# A workbook is a zip: what it says it unpacks to is also the most that is ever unpacked.
MAX_UNPACKED_BYTES = 2_000_000_000
MAX_SHARED_BYTES = 150_000_000  # The table of texts, which openpyxl holds in memory.
MAX_PACKING = 200
# What openpyxl and the standard library raise on files that break the format's rules.
BROKEN = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, DefusedXmlException, SyntaxError, LookupError, ValueError,
    TypeError, AttributeError, RuntimeError, ArithmeticError, AssertionError, EOFError, OSError, MemoryError,
)  # fmt: skip


class Workbook:
    """Cells hold what was stored: of a formula its last result, never the formula.

    `others`: further sheets that hold anything; none of their rows is given.
    """

    columns: tuple[str, ...]
    share: float
    others: tuple[str, ...]

    def __init__(self, path: Path, mapping: Mapping) -> None:
        refuse_bombs(path)
        self.mapping, self.share = mapping, 0.0
        self.sheet = self._sheet(path)
        self.values = self._values()
        self.columns = header(next(self.values, None))

    def _sheet(self, path: Path) -> Any:
        import openpyxl

        try:
            # A stream: of a path the library looks at the ending, and what lies in the store has none.
            book = openpyxl.load_workbook(path.open("rb"), read_only=True, data_only=True, keep_links=False)
        except BROKEN as error:
            raise BadFile(_("The file is no Excel workbook that can be read: %(why)s.") % {"why": error}) from error
        names = [sheet.title for sheet in book.worksheets]
        wanted = self.mapping.sheet or (names[0] if names else "")
        if wanted not in names:
            words = {"sheet": wanted, "names": ", ".join(names) or "-"}
            raise BadFile(_("There is no sheet “%(sheet)s”. The workbook has: %(names)s.") % words)
        self.others = tuple(name for name in names if name != wanted and self._holds(book[name]))
        return book[wanted]

    def _holds(self, sheet: Any) -> bool:
        return any(cell is not None for row in self._rows(sheet) for cell in row)

    def _values(self) -> Iterator[tuple[Any, ...]]:
        rows = max(self.sheet.max_row or 1, 1)
        for number, row in enumerate(self._rows(self.sheet), 1):
            self.share = min(1.0, number / rows)
            yield row

    def _rows(self, sheet: Any) -> Iterator[tuple[Any, ...]]:
        try:
            sheet.reset_dimensions()  # What a sheet says of its own size may be anything.
            yield from sheet.iter_rows(values_only=True)
        except BROKEN as error:
            raise BadFile(_("The workbook is damaged: %(why)s. Save it again.") % {"why": error}) from error

    def rows(self, wanted: tuple[str, ...] = ()) -> Iterator[dict[str, Any]]:
        for row in self.values:
            cells = [_plain(cell) for cell in row[: len(self.columns)]]
            if any(cell not in (None, "") for cell in cells):
                yield dict(zip(self.columns, cells, strict=False))
        self.share = 1.0


def _plain(cell: object) -> object:
    return cell.isoformat() if isinstance(cell, date | datetime) else cell


def refuse_bombs(path: Path) -> None:
    """A zip that unpacks to far more than it is."""
    try:
        with zipfile.ZipFile(path) as archive:
            sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
    except BROKEN as error:
        raise BadFile(
            _("The file is no whole Excel workbook (XLSX): %(why)s. Save it again, or as CSV.") % {"why": error}
        ) from error
    total, packed = sum(sizes.values()), max(path.stat().st_size, 1)
    shared = sum(size for name, size in sizes.items() if name.lower().endswith("sharedstrings.xml"))
    if total > MAX_UNPACKED_BYTES or shared > MAX_SHARED_BYTES or (total > 10_000_000 and total > MAX_PACKING * packed):
        words = {"megabytes": max(total // 1_000_000, 1)}
        raise BadFile(
            _("The workbook unpacks to %(megabytes)s MB, more than is read. Save the sheet as CSV instead.") % words
        )
