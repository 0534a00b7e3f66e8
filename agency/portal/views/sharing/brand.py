"""The agency's brand on its clients' pages."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from agency.actor import open_agency
from agency.htmx import go
from agency.portal.context import who
from agency.portal.views.sharing.forms import BrandForm
from tenants import access, sharing
from tenants.models import Agency


def brand(request: HttpRequest) -> HttpResponse:
    actor = open_agency(request, access.ADMINISTER)
    agency = Agency.objects.get(pk=actor.agency_id or 0)
    shown = sharing.brand_of(agency.pk)
    form = BrandForm(request.POST, request.FILES) if request.method == "POST" else BrandForm.showing(shown)
    stale: list[tuple[str, str, str]] = []
    if request.method == "POST" and form.is_valid():
        try:
            sharing.change_brand(agency, form.changes(), form.cleaned_data["revision"], who(request), timezone.now())
            messages.success(request, _("Saved. Clients see it from now on."))
            return go(request, reverse("brand"))
        except sharing.StaleEdit as problem:
            stale = problem.changes
            form.stand_on(shown, str(problem))
    given = {"form": form, "brand": shown, "agency": agency, "stale": stale}
    return TemplateResponse(request, "portal/sharing/brand.html", given, status=422 if form.errors else 200)
