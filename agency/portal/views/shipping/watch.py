"""The watch over a version at 100 %, as charts over the band of the version before."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse

from agency.actor import open_pipeline
from agency.portal.context import pipeline_page
from pipelines.models import Rollout
from pipelines.reports.shipping.watch import watch_page
from tenants import access


def watch(request: HttpRequest, slug: str, pipeline_slug: str, number: int) -> HttpResponse:
    row = open_pipeline(request, slug, pipeline_slug, access.VIEW)
    rollouts = Rollout.objects.select_related("version", "previous", "run__revision")
    rollout = rollouts.filter(pipeline=row, run__number=number, live_at__isnull=False).first()
    if rollout is None:
        raise Http404
    page = watch_page(rollout, rollout.run.revision.settings)
    return pipeline_page(request, row, "portal/shipping/watch.html", run=rollout.run, rollout=rollout, page=page)
