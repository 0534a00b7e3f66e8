"""The client's report: read-only, for its readers and for staff."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from agency.actor import open_client
from pipelines.reports.client import client_report
from tenants import access


@require_safe
def report(request: HttpRequest, slug: str) -> HttpResponse:
    client = open_client(request, slug, access.REPORT)
    given = {"client": client, "report": client_report(client, timezone.now()), "is_staff": request.actor.is_staff}  # type: ignore[attr-defined]
    return TemplateResponse(request, "reports/report.html", given)
