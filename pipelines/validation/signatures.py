"""Stored signatures: the bands of a row's content and of its input, kept when it is judged, packed by the block.

So a run compares its new rows with all that train already, and a new evaluation case finds its twins, without reading
the rows: nothing is ever rebuilt but what was signed by an older version of the hashes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

import numpy as np
from django.db import transaction
from django.db.models import QuerySet
from numpy.typing import NDArray

from pipelines.domain.neardup import BANDS, SIGNATURE_VERSION, Lookup, Signatures, sign
from pipelines.models import Example, SignatureBlock
from pipelines.validation.batch import parsed, said_by_user

# The columns of a block.
CONTENT, INPUT = "contents", "inputs"
LOOKED_UP, BLOCK_ROWS = 400, 2_000
NUMBER = np.dtype("<i8")
T = TypeVar("T")


def content_of(row: Example) -> str:
    """What near duplicates are compared by: without the system prompt, which the rows of a client share."""
    return parsed(row).near_text


def input_of(row: Example) -> str:
    """What evaluation cases are compared by: an answer makes no question another one."""
    return said_by_user(row.messages)


def chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def pack(rows: Sequence[Example], contents: Signatures) -> list[SignatureBlock]:
    """The signatures of rows, not stored yet; the caller saves their `signature` with them."""
    inputs = sign([input_of(row) for row in rows])
    places = range(0, len(rows), BLOCK_ROWS)
    made = [_block(rows[n : n + BLOCK_ROWS], contents.bands[n:], inputs.bands[n:]) for n in places]
    for row in rows:
        row.signature = SIGNATURE_VERSION
    return made


def _block(rows: Sequence[Example], contents: NDArray[np.int64], inputs: NDArray[np.int64]) -> SignatureBlock:
    ids = np.fromiter((row.pk for row in rows), NUMBER, len(rows)).tobytes()
    both = {CONTENT: contents, INPUT: inputs}
    blobs = {column: bands[: len(rows)].T.astype(NUMBER).tobytes() for column, bands in both.items()}
    first = rows[0]
    return SignatureBlock.of(first, pipeline_id=first.pipeline_id, version=SIGNATURE_VERSION, ids=ids, **blobs)


def top_up(rows: QuerySet[Example]) -> None:
    """Signs those that have no signature of this version: they came while the checks were switched off, or before."""
    unsigned = rows.exclude(signature=SIGNATURE_VERSION).exclude(content_digest="")
    while some := list(unsigned.order_by("id")[:BLOCK_ROWS]):
        made = pack(some, sign([content_of(row) for row in some]))
        with transaction.atomic():
            SignatureBlock.objects.bulk_create(made)
            Example.objects.filter(pk__in=[row.pk for row in some]).update(signature=SIGNATURE_VERSION)
            SignatureBlock.objects.filter(pipeline=some[0].pipeline_id).exclude(version=SIGNATURE_VERSION).delete()


def neighbours(pipeline_id: int, signed: Signatures, column: str) -> dict[int, set[int]]:
    """Number of a signed text -> ids of stored rows that share a band with it. `column`: CONTENT or INPUT."""
    found: dict[int, set[int]] = {}
    lookup = Lookup(signed)
    for ids, bands in _blocks(pipeline_id, column):
        for new, place in lookup.among(bands):
            found.setdefault(new, set()).add(int(ids[place]))
    return found


def _blocks(pipeline_id: int, column: str) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """(ids, BANDS x rows of numbers), one block in memory at a time."""
    blocks = SignatureBlock.objects.filter(pipeline_id=pipeline_id, version=SIGNATURE_VERSION)
    for pk in list(blocks.values_list("pk", flat=True)):
        for ids, bands in blocks.filter(pk=pk).values_list("ids", column):
            yield np.frombuffer(ids, NUMBER), np.frombuffer(bands, NUMBER).reshape(BANDS, -1)


def load(rows: QuerySet[Example], ids: Iterable[int]) -> dict[int, Example]:
    """Those of the ids that are among the rows."""
    found: dict[int, Example] = {}
    for some in chunks(sorted(ids), LOOKED_UP):
        found |= {row.pk: row for row in rows.filter(pk__in=some)}
    return found
