"""Drills of the way back: what each showed on each host, and one more by hand."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from agency.actor import open_pipeline
from agency.htmx import go, partials
from agency.portal.context import pipeline_page, who
from agency.portal.paging import paged
from pipelines import actions
from pipelines.models import Drill
from tenants import access
from tenants.models import Pipeline

PAGE = 20


@partials(drills="portal/shipping/_drills.html")
def drills(request: HttpRequest, slug: str, pipeline_slug: str) -> HttpResponse:
    """A POST starts one."""
    verb = access.ROLL_BACK if request.method == "POST" else access.VIEW
    row = open_pipeline(request, slug, pipeline_slug, verb)
    if request.method != "POST":
        return _page(request, row)
    try:
        made = actions.start_drill(row, actor=who(request), now=timezone.now())
    except actions.ActionRefused as refused:
        return _page(request, row, 422, str(refused))
    messages.info(request, _("The way back to %(to)s is being walked.") % {"to": made.to_version.label})
    return go(request, reverse("drills", args=[slug, pipeline_slug]))


def _page(request: HttpRequest, row: Pipeline, status: int = 200, refusal: str = "") -> HttpResponse:
    rows = Drill.objects.filter(pipeline=row)
    shown: dict[str, Any] = {"page": paged(request, rows.select_related("from_version", "to_version"), PAGE)}
    shown |= {"refusal": refusal, "every_days": row.settings.drills.every_days}
    shown |= {"is_live": rows.filter(is_passed=None).exists()}
    return pipeline_page(request, row, "portal/shipping/drills.html", status, **shown)
