"""The trends of a pipeline: each figure over its versions."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse

from agency.actor import open_pipeline
from agency.portal.context import pipeline_page
from pipelines.reports.judging.trends import trend_lines
from tenants import access


def trends(request: HttpRequest, slug: str, pipeline_slug: str) -> HttpResponse:
    row = open_pipeline(request, slug, pipeline_slug, access.VIEW)
    return pipeline_page(request, row, "portal/judging/trends.html", lines=trend_lines(row))
