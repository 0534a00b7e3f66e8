"""Where a person is: rows by table, files of the store, and the versions that learnt from the rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.db import models

from agency.leaving.person.needle import Needle, columns
from agency.leaving.tables import opened, tables
from pipelines.artifacts import ArtifactMissing, store_of
from pipelines.models import DatasetVersion, Example, Exchange, ModelVersion
from tenants import scope
from tenants.models import (
    AuditEvent,
    Cap,
    Client,
    Host,
    Invitation,
    MailChoice,
    Membership,
    Pipeline,
    SettingsRevision,
    UsageIssue,
)

SHOWN = 20
EXCERPT = 160
LINE_MOST = 1 << 22
# Acts, money, people and settings are not a person's examples: shown, and changed where they are kept.
STAYS = (AuditEvent, UsageIssue, SettingsRevision, Client, Pipeline, Host, Membership, Invitation, Cap)


@dataclass(frozen=True)
class Excerpt:
    pk: int
    text: str


@dataclass(frozen=True)
class Place:
    """A table with how many of its rows hold it. `stays`: nothing is erased there by this."""

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
class Found:
    places: tuple[Place, ...]
    files: tuple[str, ...]
    learnt: tuple[Learnt, ...]

    @property
    def count(self) -> int:
        """What would be erased: the number by which a person says that they saw it."""
        return sum(place.count for place in self.places if not place.stays) + len(self.files)


def find(client: Client, needle: Needle) -> Found:
    """Reads every row and every file of the client that is no model."""
    found = [*(_place(model, client, needle) for model in tables()), _mail_choices(client, needle)]
    places = tuple(place for place in found if place is not None)
    with scope.client_scope(client.pk, client.agency_id):
        return Found(places, tuple(files_with(client, needle)), tuple(learnt(client, needle)))


def _mail_choices(client: Client, needle: Needle) -> Place | None:
    """The agency's, and no client's: what an address left out is what keeps mails from it, so it stays."""
    with scope.agency_scope(client.agency_id):
        rows = [row for row in MailChoice.objects.order_by("pk") if needle.is_in(row.address)]
    shown = tuple(Excerpt(row.pk, row.address[:EXCERPT]) for row in rows[:SHOWN])
    return Place(MailChoice._meta.db_table, len(rows), shown, True) if rows else None


def _place(model: type[models.Model], client: Client, needle: Needle) -> Place | None:
    with opened(model, client):
        rows = needle.rows(model, client.pk)
        if model is Exchange:
            rows = model._default_manager.filter(client_id=client.pk, key_hash__in=needle.keys).order_by("pk")
        count = rows.count()
        if not count:
            return None
        shown = tuple(Excerpt(row.pk, _excerpt(row, needle)) for row in rows[:SHOWN])
    return Place(model._meta.db_table, count, shown, model in STAYS)


def _excerpt(row: Any, needle: Needle) -> str:
    """The first text of the row that holds it."""
    texts = (str(getattr(row, column)) for column in columns(type(row)))
    text = next((text for text in texts if needle.is_in(text)), "")
    at = max(0, text.casefold().find(needle.text.casefold()) - EXCERPT // 2)
    return text[at : at + EXCERPT]


def files_with(client: Client, needle: Needle) -> Iterator[str]:
    """Digests of files that hold it, line by line; weights and adapters are no text."""
    store, models_ = store_of(client.pk), _model_files(client)
    for digest, _at in sorted(store.listed()):
        if digest in models_:
            continue
        try:
            path = store.path(digest)
        except ArtifactMissing:
            continue
        if any(needle.is_in(line) for line in lines_of(path)):
            yield digest


def lines_of(path: Path) -> Iterator[str]:
    with path.open("rb") as stream:
        while line := stream.readline(LINE_MOST):
            yield line.decode("utf-8", "replace")


def _model_files(client: Client) -> set[str]:
    names = ("gguf_digest", "lora_digest", "adapter_digest")
    return {digest for row in ModelVersion.objects.filter(client=client).values_list(*names) for digest in row}


def learnt(client: Client, needle: Needle) -> Iterator[Learnt]:
    """A row is in the dataset that took it first, and in every later one that was built on what was in production."""
    held = needle.rows(Example, client.pk).filter(dataset__isnull=False).values_list("pipeline_id", "dataset_id")
    first: dict[int, int] = {}
    for pipeline_id, dataset_id in held.order_by().distinct():
        first[pipeline_id] = min(dataset_id, first.get(pipeline_id, dataset_id))
    for pipeline in Pipeline.objects.filter(pk__in=first).order_by("slug"):
        datasets = DatasetVersion.objects.filter(pipeline=pipeline, pk__gte=first[pipeline.pk]).order_by("-pk")
        versions = list(ModelVersion.objects.filter(pipeline=pipeline).select_related("dataset").order_by("-number"))
        touched = {row.pk for row in versions if row.dataset_id and row.dataset_id >= first[pipeline.pk]}
        clean = (v for v in versions if v.pk not in touched and v.promoted_at and v.status != "rolled_back")
        taught = tuple(v for v in versions if v.pk in touched)
        yield Learnt(pipeline, taught, tuple(datasets), next(clean, None))
