"""The file behind an upload: where it lies, and how it is read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.utils.translation import gettext as _
from pydantic import ValidationError

from pipelines.artifacts import store_of
from pipelines.domain.data_checks import Unreadable
from pipelines.imports import BadFile, Mapping, Opened, Reader, open_file
from pipelines.imports.lines import KEPT_LINE_BYTES
from pipelines.models import Batch
from pipelines.records.tables import Table, open_confined


def mapping_of(batch: Batch) -> Mapping:
    return Mapping.model_validate(batch.reading)


def opened(batch: Batch, mapping: Mapping) -> Opened:
    """The batch's file, by a mapping. Raises `BadFile`."""
    return open_file(store_of(batch.client_id).path(batch.file_digest), batch.source, mapping, open_confined)


def every_row(batch: Batch) -> Iterator[Any]:
    """Whatever the batch's file says, mapped or not: names of columns, rows, what is none as it stands; of all sheets.

    Raises `BadFile` where it cannot say all of it.
    """
    try:
        mapping = mapping_of(batch)
    except ValidationError as error:
        raise BadFile(str(error)) from error
    first = opened(batch, mapping)
    yield from _said(first.reader)
    for sheet in first.reader.others if isinstance(first.reader, Table) else ():
        yield from _said(opened(batch, first.mapping.model_copy(update={"sheet": sheet})).reader)


def _said(reader: Reader) -> Iterator[Any]:
    yield list(reader.columns)
    for row in reader.rows(()):
        match row:
            case bytes() if len(row) == KEPT_LINE_BYTES:
                raise BadFile(_("A line is longer than a million characters."))
            case bytes():
                yield row.decode("utf-8", "replace")
            case Unreadable():
                yield row.raw.decode("utf-8", "replace")
            case _:
                yield row
