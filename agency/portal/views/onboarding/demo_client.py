"""The demo client: loaded and removed in one click each."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST
from pydantic import ValidationError

from agency.actor import open_agency, open_client
from agency.htmx import go
from agency.portal.context import who
from agency.portal.demo_client import demo_of, load_demo
from pipelines.actions import ActionRefused
from pipelines.actions.clients.removal import remove_demo
from tenants import access, scope
from tenants.models import Agency


@require_POST
def load(request: HttpRequest) -> HttpResponse:
    actor = open_agency(request, access.ADMINISTER)
    agency = Agency.objects.get(pk=actor.agency_id or 0)
    known = demo_of(agency)
    if known is not None:
        return go(request, reverse("wizard-go-on", args=[known.slug]))
    try:
        made = load_demo(agency, who(request), timezone.now())
    except ValidationError as error:
        messages.error(request, "; ".join(one["msg"] for one in error.errors()))
        return go(request, reverse("overview"))
    messages.success(request, _("The demo client is here: made-up rows, and no run yet. Start the first one."))
    return go(request, reverse("wizard-run", args=[made.client.slug, made.slug]))


@require_POST
def remove(request: HttpRequest, slug: str) -> HttpResponse:
    row = open_client(request, slug, access.ADMINISTER)
    # What belongs to the agency and names the client, such as memberships, goes too: a client's scope cannot see it.
    with scope.agency_scope(row.agency_id):
        try:
            remove_demo(row, who(request), timezone.now())
        except ActionRefused as refused:
            messages.error(request, str(refused))
            return go(request, reverse("client", args=[slug]))
    messages.success(request, _("%(name)s is gone, with everything that was its own.") % {"name": row.name})
    return go(request, reverse("overview"))
