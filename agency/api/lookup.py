"""First lines of the operations: the key's client, its pipelines, their rows; anything else is 404."""

from __future__ import annotations

from typing import TypeVar

from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest

from pipelines.models import ModelVersion, Run
from tenants.models import ApiKey, Client, Pipeline

Row = TypeVar("Row", bound=Model)


def key_in(request: HttpRequest) -> ApiKey:
    key: ApiKey = request.auth  # type: ignore[attr-defined]
    return key


def client_in(request: HttpRequest) -> Client:
    return key_in(request).client


def one(rows: QuerySet[Row], **found_by: object) -> Row:
    """The row, or 404. The scope keeps other clients' rows out; `rows` keeps other pipelines' out."""
    row = rows.filter(**found_by).first()
    if row is None:
        raise Http404
    return row


def open_pipeline(request: HttpRequest, slug: str) -> Pipeline:
    """The pipeline of the key's client, or 404."""
    pipelines = Pipeline.objects.select_related("client", "revision", "state__production")
    return one(pipelines.filter(client=client_in(request)), slug=slug)


def chosen_pipelines(request: HttpRequest, slug: str | None) -> QuerySet[Pipeline]:
    """The one that is named (404 where it is unknown), or all of the key's client."""
    mine = Pipeline.objects.filter(client=client_in(request))
    return mine if slug is None else mine.filter(pk=open_pipeline(request, slug).pk)


def open_run(request: HttpRequest, slug: str, number: int) -> Run:
    runs = Run.objects.select_related("pipeline", "model_version", "rollout")
    return one(runs.filter(pipeline=open_pipeline(request, slug)), number=number)


def open_version(request: HttpRequest, slug: str, number: int) -> ModelVersion:
    versions = ModelVersion.objects.select_related("client", "pipeline", "dataset", "run__revision")
    return one(versions.filter(pipeline=open_pipeline(request, slug)), number=number)
