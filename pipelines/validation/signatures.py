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
from pipelines.validation.batch import said_by_user

# The columns of a block.
CONTENT, INPUT = "contents", "inputs"
LOOKED_UP, BLOCK_ROWS = 400, 2_000
READ_BLOCKS = 25  # At once: 5 MB of full ones.
NUMBER = np.dtype("<i8")
T = TypeVar("T")


def content_of(messages: Iterable[dict[str, str]]) -> str:
    """What near duplicates are compared by: without the system prompt, which the rows of a client share."""
    return "\n".join(m["content"] for m in messages if m["role"] != "system")


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


def unsigned(rows: QuerySet[Example]) -> QuerySet[Example]:
    """Those without a signature of this version. "Less than", not "other than": an index answers that."""
    return rows.filter(signature__lt=SIGNATURE_VERSION).exclude(content_digest="")


def top_up(rows: QuerySet[Example]) -> None:
    """Signs those that have no signature of this version: they came while the checks were switched off, or before."""
    while some := list(unsigned(rows).order_by("id")[:BLOCK_ROWS]):
        made = pack(some, sign([content_of(row.messages) for row in some]))
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
    """(ids, BANDS x rows of numbers), a few blocks in memory at a time."""
    blocks = SignatureBlock.objects.filter(pipeline_id=pipeline_id, version=SIGNATURE_VERSION)
    for some in chunks(list(blocks.values_list("pk", flat=True)), READ_BLOCKS):
        read = list(blocks.filter(pk__in=some).values_list("ids", column))
        if not read:
            continue  # Signed anew by another meanwhile.
        ids = np.concatenate([np.frombuffer(ids, NUMBER) for ids, _bands in read])
        bands = [np.frombuffer(bands, NUMBER).reshape(BANDS, -1) for _ids, bands in read]
        yield ids, np.concatenate(bands, axis=1)


def load(rows: QuerySet[Example], ids: Iterable[int]) -> dict[int, Example]:
    """Those of the ids that are among the rows."""
    found: dict[int, Example] = {}
    for some in chunks(sorted(ids), LOOKED_UP):
        found |= {row.pk: row for row in rows.filter(pk__in=some)}
    return found


def contents(rows: QuerySet[Example], ids: Iterable[int]) -> dict[int, str]:
    """The texts by which near duplicates are compared, of those of the ids that are among the rows."""
    found: dict[int, str] = {}
    for some in chunks(sorted(ids), LOOKED_UP):
        listed = rows.filter(pk__in=some).values_list("pk", "messages")
        found |= {pk: content_of(messages) for pk, messages in listed}
    return found
