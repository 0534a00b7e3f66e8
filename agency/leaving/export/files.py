"""The artifacts of a client under names that say what they are, and a table of them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from agency.leaving.tar import Tar
from agency.portal.csv_file import neutral
from pipelines.artifacts import ArtifactMissing, damaged, store_of
from pipelines.models import Batch, DatasetVersion, ModelVersion, Scorecard
from tenants import scope
from tenants.models import Client


@dataclass(frozen=True)
class Kind:
    ending: str
    what: str


OTHER = Kind("bin", "named inside a table")


def kinds(client: Client) -> dict[str, Kind]:
    """Digest -> what it is, of what rows name in columns of their own."""
    found: dict[str, Kind] = {}
    versions = ModelVersion.objects.filter(client=client).select_related("pipeline").order_by("-pk")
    for version in versions:
        name = f"{version.pipeline.slug} {version.label}"
        found[version.adapter_digest] = Kind("tar", f"{name}: adapter as the trainer gave it")
        found[version.lora_digest] = Kind("gguf", f"{name}: adapter")
        found[version.gguf_digest] = Kind("gguf", f"{name}: weights")
    for dataset in DatasetVersion.objects.filter(client=client).select_related("pipeline", "run"):
        name = f"{dataset.pipeline.slug} dataset of run {dataset.run.number}"
        found[dataset.digest] = Kind("jsonl", f"{name}: rows")
        found[dataset.manifest] = Kind("jsonl", f"{name}: where each row came from")
    for card in Scorecard.objects.filter(client=client).select_related("run__pipeline"):
        found[card.answers_digest] = Kind("jsonl", f"{card.run.pipeline.slug} run {card.run.number}: answers")
    for batch in Batch.objects.filter(client=client).exclude(file_digest=""):
        found[batch.file_digest] = Kind("bin", f"upload {batch.source}")
    return found


def file_pieces(client: Client, place: str, tar: Tar) -> Iterator[bytes]:
    """Each is hashed as it goes: bytes that are not what their name says end the export. Raises ArtifactDamaged."""
    store = store_of(client.pk)
    with scope.client_scope(client.pk, client.agency_id):
        known = kinds(client)
    lines: list[list[object]] = [["file", "what", "bytes"]]
    for digest, _at in sorted(store.listed()):
        kind = known.get(digest, OTHER)
        name = f"files/{digest}.{kind.ending}"
        with suppress(ArtifactMissing), store.read_once(digest) as path:  # Retention may have taken it meanwhile.
            yield from tar.file(f"{place}/{name}", path)
            if tar.pieces[f"{place}/{name}"].sha256 != digest:
                raise damaged(store, digest)
            lines.append([name, kind.what, tar.pieces[f"{place}/{name}"].size])
    yield from tar.text(f"{place}/files.csv", table(lines))


def table(rows: Iterable[Iterable[object]]) -> str:
    """CSV that a spreadsheet opens without running what is in it."""
    text = io.StringIO()
    csv.writer(text).writerows([neutral(cell) for cell in row] for row in rows)
    return text.getvalue()
