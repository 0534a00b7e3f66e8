"""A client's report for somebody without an account: by a link that expires and can be taken back."""

from __future__ import annotations

from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from agency.accounts.limits import limited
from agency.reports.pages import Reader, page, private
from tenants import scope, sharing
from tenants.models import Pipeline


@login_not_required
@require_safe
@limited("shared-report")
def shared(request: HttpRequest, token: str, pipeline_slug: str = "") -> HttpResponse:
    """The whole client's report, or the one part that the link is for. 404 for a token that never was."""
    with scope.entered(None):  # Whoever is signed in beside it reads what a stranger reads.
        link = sharing.find_link(token)
        if link is None:
            raise Http404
        if not link.is_open(timezone.now()):
            return private(TemplateResponse(request, "reports/closed.html", {"csrf_token": ""}, status=410).render())
        pipeline = link.pipeline or _part(link.client_id, pipeline_slug)
        sharing.note_view(link, timezone.now())
        home = "" if link.pipeline else reverse("shared-report", args=[token])
        return page(request, link.client, pipeline, Reader(True, home), csrf_token="")


def _part(client_id: int, slug: str) -> Pipeline | None:
    if not slug:
        return None
    found = Pipeline.objects.select_related("client", "revision").filter(client_id=client_id, slug=slug).first()
    if found is None:
        raise Http404
    return found
