"""The replay of a rollout: which recent prompts the two versions answer differently."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse

from agency.actor import open_pipeline
from agency.portal.context import pipeline_page
from agency.portal.paging import paged
from pipelines.models import Rollout
from pipelines.reports.shipping.replay import replay_report
from pipelines.shipping import replay as shipped
from tenants import access

PAIRS_A_PAGE = 25


def replay(request: HttpRequest, slug: str, pipeline_slug: str, number: int) -> HttpResponse:
    row = open_pipeline(request, slug, pipeline_slug, access.VIEW)
    rollouts = Rollout.objects.select_related("version", "previous", "run")
    rollout = rollouts.filter(pipeline=row, run__number=number).first()
    if rollout is None:
        raise Http404
    phase = shipped.MONITOR if request.GET.get("phase") == shipped.MONITOR else shipped.CANARY
    found = replay_report(rollout, phase, request.GET.get("change", ""))
    page = paged(request, found.lines, PAIRS_A_PAGE)
    given = {"run": rollout.run, "rollout": rollout, "found": found, "page": page, "phase": phase}
    return pipeline_page(request, row, "portal/shipping/replay.html", **given)
