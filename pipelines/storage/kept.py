"""What is kept of a client, where, why, and until when: versions of a pipeline one by one, the rest by its days."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.db.models import Count, Min

from pipelines.artifacts import store_of
from pipelines.domain.change.fate import Fate, Why, fates
from pipelines.domain.change.keeping import retained
from pipelines.heavy.retiring.choice import expendable
from pipelines.keeping import policy_of, versions_of
from pipelines.models import Body, Exchange, ModelVersion, Placement, Traffic
from tenants.models import Client, HostSample, Pipeline


@dataclass(frozen=True)
class Line:
    """A version: `is_stored` when all its files lie in the store; `leaves` of its hosts, which order it to go soon."""

    version: ModelVersion
    is_stored: bool
    fate: Fate
    hosts: tuple[str, ...]
    leaves: tuple[str, ...]


@dataclass(frozen=True)
class Rows:
    """Rows of a kind: how many, since when, and for how many days; None: not kept at all."""

    name: str
    count: int
    oldest: datetime | None
    days: int | None


@dataclass(frozen=True)
class KeptPage:
    lines: tuple[Line, ...]
    rows: tuple[Rows, ...]
    stored_bytes: int
    going_bytes: int


def kept_page(client: Client, pipeline: Pipeline | None, now: datetime) -> KeptPage:
    lines = _lines(client, pipeline, now) if pipeline else ()
    stored = [line for line in lines if line.is_stored]
    going = sum(line.version.gguf_bytes for line in stored if line.fate.why is Why.GOES)
    return KeptPage(lines, _rows(client, pipeline), sum(line.version.gguf_bytes for line in stored), going)


def _lines(client: Client, pipeline: Pipeline, now: datetime) -> tuple[Line, ...]:
    found, store = _fates(client, pipeline, now), store_of(client.pk)
    placed: dict[int, list[str]] = {}
    for row in Placement.objects.filter(version__pipeline=pipeline, status="placed").select_related("host"):
        placed.setdefault(row.version_id, []).append(row.host.name)
    leaving: dict[int, list[str]] = {}
    for row in expendable(pipeline, now) if pipeline.revision_id else ():
        leaving.setdefault(row.version_id, []).append(row.host.name)
    versions: Sequence[ModelVersion] = ModelVersion.objects.filter(pipeline=pipeline).order_by("-number")
    return tuple(
        Line(
            version,
            not version.is_adopted and store.has_all(version.files),
            found[version.number],
            tuple(sorted(placed.get(version.pk, ()))),
            tuple(sorted(leaving.get(version.pk, ()))),
        )
        for version in versions
    )


def _fates(client: Client, pipeline: Pipeline, now: datetime) -> dict[int, Fate]:
    policy, pipelines = policy_of(client), versions_of(client.pk)
    mine = pipelines.pop(pipeline.pk, [])
    elsewhere = (digest for versions in pipelines.values() for digest in retained(versions, policy, now))
    return fates(mine, policy, now, frozenset(elsewhere))


def _rows(client: Client, pipeline: Pipeline | None) -> tuple[Rows, ...]:
    bodies = pipeline.settings.bodies if pipeline and pipeline.revision_id else None
    kinds = (
        ("exchanges", Exchange, "at", settings.EXCHANGE_RETENTION_DAYS),
        ("bodies", Body, "at", bodies.days if bodies and bodies.keep else None),
        ("minutes", Traffic, "minute", settings.TRAFFIC_MINUTE_DAYS),
    )
    mine = [
        Rows(name, *_counted(model.objects.filter(pipeline=pipeline, client_id=client.pk), field), days)
        for name, model, field, days in kinds
    ]
    looks = HostSample.objects.filter(client_id=client.pk)
    return (*mine, Rows("looks", *_counted(looks, "at"), settings.HOST_SAMPLE_DAYS))


def _counted(rows: object, field: str) -> tuple[int, datetime | None]:
    found = rows.aggregate(n=Count("pk"), oldest=Min(field))  # type: ignore[attr-defined]
    return found["n"], found["oldest"]
