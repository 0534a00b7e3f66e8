"""Where a person is: rows by table, files of the store, and the versions that learnt from the rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.db import models

from agency.leaving.person.needle import Needle
from agency.leaving.tables import opened, tables
from pipelines.artifacts import ArtifactMissing, store_of
from pipelines.imports import BadFile
from pipelines.models import Batch, Body, DatasetVersion, Example, Exchange, ModelVersion, ReplayPair
from pipelines.records.dataset import contents
from pipelines.records.files import every_row
from tenants import scope
from tenants.models import Client, EvalCase, MailChoice, Pipeline

SHOWN = 20
EXCERPT = 160
LINE_MOST = 1 << 22
# Their contents go as a whole, and not by the text.
WHOLE = (Example, EvalCase, Body, ReplayPair)


@dataclass(frozen=True)
class Excerpt:
    pk: int
    text: str


@dataclass(frozen=True)
class Place:
    """A table, or the old ledger's file, with how many of its rows hold it.

    `stays`: in what is changed where it is kept, and not by this.
    """

    table: str
    count: int
    shown: tuple[Excerpt, ...]
    stays: bool


@dataclass(frozen=True)
class Learnt:
    """A pipeline whose versions were trained on such rows, newest first; `clean`: the last that was not, if any."""

    pipeline: Pipeline
    versions: tuple[ModelVersion, ...]
    datasets: tuple[DatasetVersion, ...]
    clean: ModelVersion | None


@dataclass(frozen=True)
class Files:
    """Digests of those that hold it, and of uploads that could not be read: nobody knows of them."""

    found: tuple[str, ...]
    unread: tuple[str, ...]


@dataclass(frozen=True)
class Found:
    places: tuple[Place, ...]
    files: tuple[str, ...]
    unread: tuple[str, ...]
    learnt: tuple[Learnt, ...]

    @property
    def count(self) -> int:
        """What would be erased: the number by which a person says that they saw it."""
        return sum(place.count for place in self.places if not place.stays) + len(self.files)


def find(client: Client, needle: Needle) -> Found:
    """Reads every row and every file of the client that is no model."""
    places = [place for model in tables() for place in _places(model, client, needle)]
    places += _mail_choices(client, needle)
    with scope.client_scope(client.pk, client.agency_id):
        files = files_with(client, needle)
        places += _old_ledger(client, needle)
        return Found(tuple(places), files.found, files.unread, tuple(learnt(client, needle)))


def _mail_choices(client: Client, needle: Needle) -> Iterator[Place]:
    """The agency's, and no client's: what an address left out is what keeps mails from it, so it stays."""
    with scope.agency_scope(client.agency_id):
        rows = [row for row in MailChoice.objects.order_by("pk") if needle.is_in(row.address)]
    if rows:
        shown = tuple(Excerpt(row.pk, row.address[:EXCERPT]) for row in rows[:SHOWN])
        yield Place(MailChoice._meta.db_table, len(rows), shown, True)


def _old_ledger(client: Client, needle: Needle) -> Iterator[Place]:
    """The acts that came as a file, with a client out of an archive: no more to be changed than those here."""
    store, digest = store_of(client.pk), client.origin.get("ledger", "")
    if not digest or not store.has(digest):
        return
    acts = [
        Excerpt(number, _around(line, needle))
        for number, line in enumerate(lines_of(store.path(digest)), start=1)
        if needle.is_told(line)
    ]
    if acts:
        yield Place("ledger.jsonl", len(acts), tuple(acts[:SHOWN]), True)


def _places(model: type[models.Model], client: Client, needle: Needle) -> Iterator[Place]:
    with opened(model, client):
        for rows, stays in ((erasable(model, needle, client.pk), False), (_staying(model, needle, client.pk), True)):
            if count := rows.count():
                shown = tuple(Excerpt(row.pk, _excerpt(row, needle)) for row in rows[:SHOWN])
                yield Place(model._meta.db_table, count, shown, stays)


def erasable(model: type[models.Model], needle: Needle, client_id: int) -> Any:
    """The rows of the client from which it is erased."""
    if model is Exchange:
        return Exchange.objects.filter(client_id=client_id, key_hash__in=needle.keys).order_by("pk")
    return needle.rows(model, client_id, needle.tells if model in WHOLE else needle.scrubbed)


def _staying(model: type[models.Model], needle: Needle, client_id: int) -> Any:
    if model in WHOLE:
        return model._default_manager.none()
    return needle.rows(model, client_id, lambda row: needle.tells(row) and not needle.scrubbed(row))


def _excerpt(row: Any, needle: Needle) -> str:
    """The first text of the row that holds it."""
    return _around(next((str(getattr(row, column)) for column in needle.told_in(row)), ""), needle)


def _around(text: str, needle: Needle) -> str:
    at = max(0, text.casefold().find(needle.text.casefold()) - EXCERPT // 2)
    return text[at : at + EXCERPT]


def files_with(client: Client, needle: Needle) -> Files:
    """Uploads are read as they are imported, but all of their columns; weights and adapters are no text.

    Not the ledger that came with an archive: see `_old_ledger`.
    """
    store, models_, uploads = store_of(client.pk), _model_files(client), _uploads(client)
    models_.add(client.origin.get("ledger", ""))
    found, unread = [], []
    for digest, _at in sorted(store.listed()):
        if digest in models_:
            continue
        try:
            path = store.path(digest)
        except ArtifactMissing:
            continue
        is_in = _is_in_uploads(uploads.get(digest, ()), needle)
        needs_lines = digest not in uploads or is_in is None
        if is_in or (needs_lines and any(needle.is_told(line) for line in lines_of(path))):
            found.append(digest)
        elif is_in is None:
            unread.append(digest)
    return Files(tuple(found), tuple(unread))


def _uploads(client: Client) -> dict[str, list[Batch]]:
    found: dict[str, list[Batch]] = {}
    for batch in Batch.objects.filter(client=client).exclude(file_digest="").order_by("pk"):
        found.setdefault(batch.file_digest, []).append(batch)
    return found


def _is_in_uploads(batches: Iterable[Batch], needle: Needle) -> bool | None:
    """The file behind them, by each one's own reading. None: it cannot be read whole, and what could says nothing."""
    try:
        return any(needle.is_told(row) for batch in batches for row in every_row(batch))
    except BadFile:
        return None


def lines_of(path: Path) -> Iterator[str]:
    with path.open("rb") as stream:
        while line := stream.readline(LINE_MOST):
            yield line.decode("utf-8", "replace")


def _model_files(client: Client) -> set[str]:
    names = ("gguf_digest", "lora_digest", "adapter_digest")
    return {digest for row in ModelVersion.objects.filter(client=client).values_list(*names) for digest in row}


@dataclass
class _Held:
    """Rows of a pipeline that hold it, by all that a dataset may know of them."""

    rows: set[int] = field(default_factory=set)
    contents: set[str] = field(default_factory=set)
    uploads: set[str] = field(default_factory=set)
    datasets: set[int] = field(default_factory=set)

    def are_in(self, dataset: DatasetVersion) -> bool:
        """By its manifest: a row that was brought back, or whose run came to nothing, names no dataset any more.

        The contents too, for an archive's manifests have the numbers of another installation.
        """
        if dataset.pk in self.datasets:
            return True
        if not dataset.batches:  # Of before uploads were counted: built on what an earlier one took.
            return dataset.pk > min(self.datasets, default=dataset.pk)
        if self.uploads.isdisjoint(dataset.batches):
            return False
        try:
            return any(row in self.rows or content in self.contents for content, row in contents(dataset))
        except ArtifactMissing:
            return True


def learnt(client: Client, needle: Needle) -> Iterator[Learnt]:
    """Of each pipeline whose datasets hold such rows."""
    held = _held(client, needle)
    for pipeline in Pipeline.objects.filter(pk__in=held).order_by("slug"):
        versions = list(ModelVersion.objects.filter(pipeline=pipeline).order_by("-number"))
        datasets = DatasetVersion.objects.filter(pipeline=pipeline).order_by("-pk")
        taught_by = tuple(dataset for dataset in datasets if held[pipeline.pk].are_in(dataset))
        if taught_by:
            touched = {dataset.pk for dataset in taught_by}
            clean = (v for v in versions if v.dataset_id not in touched and v.promoted_at and v.status != "rolled_back")
            taught = tuple(v for v in versions if v.dataset_id in touched)
            yield Learnt(pipeline, taught, taught_by, next(clean, None))


def _held(client: Client, needle: Needle) -> dict[int, _Held]:
    found: dict[int, _Held] = {}
    columns = ("pipeline_id", "pk", "content_digest", "batch_id", "dataset_id")
    for pipeline_id, pk, content, batch_id, dataset_id in erasable(Example, needle, client.pk).values_list(*columns):
        held = found.setdefault(pipeline_id, _Held())
        held.rows.add(pk)
        held.contents.add(content)
        held.uploads.add(str(batch_id))
        held.datasets |= {dataset_id} - {None}
    return found
