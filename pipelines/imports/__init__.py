"""Files of examples as rows: one streamed reader per format, and one door to all of them, `open_file`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from pipelines.domain.data_checks import Unreadable
from pipelines.imports.errors import BadFile
from pipelines.imports.mapping import Mapping, as_lines, check, guess
from pipelines.imports.sniffing import settle

__all__ = ["READERS", "BadFile", "Mapping", "Opened", "Reader", "Row", "open_file", "open_reader"]

# A line of JSON as it stands in the file, a row of a table by column, or why there is neither.
Row = bytes | dict[str, Any] | Unreadable


class Reader(Protocol):
    """An opened file: made from (path, mapping). Refuses with `BadFile`, before the first row where it can.

    `columns` are a table's, in order; `share` is how much of the file is read, 0..1. Rows are never whole in memory.
    """

    columns: tuple[str, ...]
    share: float

    def rows(self, wanted: tuple[str, ...]) -> Iterator[Row]:
        """`wanted`: the columns that are looked at, empty: all."""


READERS: dict[str, str] = {
    "jsonl": "pipelines.imports.json_lines:JsonLines",
    "json": "pipelines.imports.json_array:JsonArray",
    "csv": "pipelines.imports.delimited:Delimited",
    "xlsx": "pipelines.imports.workbook:Workbook",
    "parquet": "pipelines.imports.parquet:Parquet",
}


@dataclass(frozen=True)
class Opened:
    """A file with the mapping by which it is read: all of it known now."""

    reader: Reader
    mapping: Mapping

    def lines(self) -> Iterator[bytes | Unreadable]:
        """NDJSON lines of chat, as the API takes them. Raises `BadFile` when the mapping does not fit the columns."""
        check(self.mapping, self.reader.columns)
        yield from as_lines(self.reader.rows(self.mapping.columns), self.mapping)


def open_file(path: Path, name: str, given: Mapping, by: Callable[[Path, Mapping], Reader] | None = None) -> Opened:
    """What `given` leaves open is found out: from the bytes, the name, and the usual names of columns.

    `by` opens the reader elsewhere than in this process.
    """
    settled = settle(path, name, given)
    reader = (by or open_reader)(path, settled)
    return Opened(reader, guess(reader.columns, settled))


def open_reader(path: Path, mapping: Mapping) -> Reader:
    module, _, name = READERS[mapping.format].partition(":")
    made: Reader = getattr(import_module(module), name)(path, mapping)
    return made
