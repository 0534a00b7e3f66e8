"""Parquet, a few hundred rows at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.utils.translation import gettext as _

from pipelines.imports.delimited import MAX_COLUMNS
from pipelines.imports.errors import BadFile
from pipelines.imports.mapping import Mapping

BATCH_ROWS = 500
MAX_GROUP_BYTES = 2_000_000_000


class Parquet:
    """Whatever a damaged file says of itself, it ends in a sentence."""

    columns: tuple[str, ...]
    share: float

    def __init__(self, path: Path, mapping: Mapping) -> None:
        self.share = 0.0
        self.file = self._opened(path)
        self.columns = tuple(str(name) for name in self.file.schema_arrow.names)
        self._refuse_what_is_too_large()

    def _opened(self, path: Path) -> Any:
        import pyarrow
        import pyarrow.parquet

        self.broken = (pyarrow.ArrowException, OSError, ValueError, KeyError, TypeError, MemoryError, OverflowError)
        try:
            return pyarrow.parquet.ParquetFile(path, memory_map=False, pre_buffer=False)
        except self.broken as error:
            raise BadFile(
                _("The file is no Parquet that can be read: %(why)s. Write it again.") % {"why": _first(error)}
            ) from error

    def _refuse_what_is_too_large(self) -> None:
        facts = self.file.metadata
        groups = [facts.row_group(n).total_byte_size for n in range(facts.num_row_groups)]
        if max(groups, default=0) > MAX_GROUP_BYTES or len(self.columns) > MAX_COLUMNS:
            raise BadFile(
                _("The Parquet file has a row group of more than 2 GB or over 1,000 columns: write it smaller.")
            )

    def rows(self, wanted: tuple[str, ...] = ()) -> Iterator[dict[str, Any]]:
        said, given = self.file.metadata.num_rows, 0
        try:
            for batch in self.file.iter_batches(batch_size=BATCH_ROWS, columns=list(wanted) or None, use_threads=False):
                given += batch.num_rows
                self.share = min(1.0, given / max(said, 1))
                yield from batch.to_pylist()
        except self.broken as error:
            words = {"n": given, "why": _first(error)}
            raise BadFile(_("The Parquet file is damaged after row %(n)s: %(why)s. Write it again.") % words) from error
        if given != said:
            words = {"said": said, "n": given}
            raise BadFile(_("The Parquet file says that it has %(said)s rows and has %(n)s: write it again.") % words)


def _first(error: BaseException) -> str:
    """The first line of what a library says, to go on in a sentence."""
    return str(error).partition("\n")[0].rstrip(". ") or type(error).__name__
