"""`/healthz`: this process answers. `/readyz`: it can do its work, and what is due is done in time."""

from __future__ import annotations

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe

from agency.health.looks import READY, look


@require_safe
@login_not_required
def healthz(request: HttpRequest) -> HttpResponse:
    return HttpResponse("ok\n", content_type="text/plain")


@require_safe
@login_not_required
def readyz(request: HttpRequest) -> HttpResponse:
    """503 with the names of what is not well: strangers read it, so it says no more."""
    found = {finding.name: finding.is_well for finding in look(READY)}
    return JsonResponse(found, status=200 if all(found.values()) else 503, headers={"Cache-Control": "no-store"})
