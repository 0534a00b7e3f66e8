"""The client's report: read-only, for its readers and for staff."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_safe

from agency.actor import open_client, open_pipeline
from agency.portal.context import actor_of
from agency.reports.pages import Reader, page
from tenants import access
from tenants.models import Client


@require_safe
def report(request: HttpRequest, slug: str) -> HttpResponse:
    client = open_client(request, slug, access.REPORT)
    return page(request, client, None, _reader(request, client))


@require_safe
def one_pipeline(request: HttpRequest, slug: str, pipeline_slug: str) -> HttpResponse:
    pipeline = open_pipeline(request, slug, pipeline_slug, access.REPORT)
    return page(request, pipeline.client, pipeline, _reader(request, pipeline.client))


def _reader(request: HttpRequest, client: Client) -> Reader:
    is_staff = any(grant.covers(client, access.VIEW) for grant in actor_of(request).grants)
    return Reader(False, reverse("report", args=[client.slug]), is_staff)
