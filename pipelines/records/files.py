"""The file behind an upload: where it lies, and how it is read."""

from __future__ import annotations

from pipelines.artifacts import store_of
from pipelines.imports import Mapping, Opened, open_file
from pipelines.models import Batch
from pipelines.records.tables import open_confined


def mapping_of(batch: Batch) -> Mapping:
    return Mapping.model_validate(batch.reading)


def opened(batch: Batch, mapping: Mapping) -> Opened:
    """The batch's file, by a mapping. Raises `BadFile`."""
    return open_file(store_of(batch.client_id).path(batch.file_digest), batch.source, mapping, open_confined)
