"""Model versions and their cards."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from ninja import Router

from agency.api.auth import Key
from agency.api.lookup import open_pipeline, open_version
from agency.api.paging import Paged, page
from agency.api.schemas import Page, VersionOut
from pipelines.cards import version_card, version_yaml
from pipelines.models import ModelVersion
from pipelines.reports.changes.passport import passport

router = Router(tags=["versions"], auth=Key("versions"))


@router.get("/pipelines/{slug}/versions", response=Page[VersionOut])
def list_versions(request: HttpRequest, slug: str, asked: Paged) -> dict[str, Any]:
    """Versions of the pipeline, the latest first."""
    return page(ModelVersion.objects.filter(pipeline=open_pipeline(request, slug)), asked, "number", lambda row: row)


@router.get("/pipelines/{slug}/versions/{int:number}", response=dict[str, Any])
def read_version(request: HttpRequest, slug: str, number: int) -> dict[str, Any]:
    """The whole version card: base, data, training, bytes, scorecard, gates, settings revision, approval."""
    return version_card(open_version(request, slug, number))


@router.get("/pipelines/{slug}/versions/{int:number}/version.yaml", response={200: None})
def read_version_yaml(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    """The same card as YAML, as it lies beside the artifact."""
    text = version_yaml(open_version(request, slug, number))
    return HttpResponse(text, content_type="application/yaml; charset=utf-8")


@router.get("/pipelines/{slug}/versions/{int:number}/passport", response={200: None})
def read_passport(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    """The version's facts as a signed file (Ed25519), which anyone can verify offline."""
    text = passport(open_version(request, slug, number), timezone.now())
    return HttpResponse(text, content_type="application/json; charset=utf-8")
