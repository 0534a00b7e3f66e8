"""What was asked of a pipeline: by the hour or the day, and by version and arm."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from agency.actor import open_pipeline
from agency.portal.context import pipeline_page
from pipelines.reports.traffic import WINDOWS, traffic_view
from tenants import access

NAMES = (("day", _("24 hours")), ("month", _("30 days")), ("year", _("A year")))


def traffic(request: HttpRequest, slug: str, pipeline_slug: str) -> HttpResponse:
    row = open_pipeline(request, slug, pipeline_slug, access.VIEW)
    window = WINDOWS.get(request.GET.get("window", ""), WINDOWS["day"])
    view = traffic_view(row, window, timezone.now())
    return pipeline_page(request, row, "portal/shipping/traffic.html", view=view, windows=NAMES)
