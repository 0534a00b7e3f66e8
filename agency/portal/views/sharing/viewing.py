"""Beginning and ending to look as somebody else."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST

from agency import viewing
from agency.actor import open_agency, open_client
from agency.htmx import go
from agency.portal.context import who
from tenants import access
from tenants.models import Agency, AuditEvent, Membership


@require_POST
def as_client(request: HttpRequest, slug: str) -> HttpResponse:
    """Staff see what the client's readers see."""
    row = open_client(request, slug, access.VIEW)
    AuditEvent.append(row, who(request), "view_as.start", row.slug, timezone.now())
    viewing.start(request, "client", row.pk)
    return go(request, reverse("report", args=[slug]))


@require_POST
def as_person(request: HttpRequest, member: int) -> HttpResponse:
    """An owner sees what a member sees."""
    actor = open_agency(request, access.ADMINISTER)
    row = Membership.objects.select_related("user").filter(pk=member).first()
    if row is None:
        raise Http404
    agency = Agency.objects.get(pk=actor.agency_id or 0)
    AuditEvent.append(agency, who(request), "view_as.start", row.user.email, timezone.now(), {"role": row.role})
    viewing.start(request, "member", row.pk)
    return go(request, reverse("overview"))


@require_POST
def stop(request: HttpRequest) -> HttpResponse:
    viewing.stop(request)
    return go(request, reverse("overview"))
